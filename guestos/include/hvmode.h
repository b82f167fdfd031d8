/*
 * Which mode the VMM below runs this machine in, and the wish for another one. 32-bit accesses to
 * HVMODE_PORT: OUT asks for a mode, IN tells the present one and what became of the last wish.
 * Where nobody listens (the bare machine) IN gives all ones.
 */
#ifndef MINNOW_HVMODE_H
#define MINNOW_HVMODE_H

#define HVMODE_PORT 0x7E4
#define HVMODE_NUMBER 0xFF /* 1 trap, 2 para, 3 vtx, 4 svm */
#define HVMODE_NESTED 0x100
#define HVMODE_SHADOW 0x200
#define HVMODE_ASKED (HVMODE_NUMBER | HVMODE_NESTED | HVMODE_SHADOW)
#define HVMODE_STATE(answer) ((answer) >> 16 & 0xFF)
#define HVMODE_DONE 0
#define HVMODE_WAITS 1
#define HVMODE_REFUSED 2 /* no such mode, or not on this CPU */
#define HVMODE_FAILED 3

#endif
