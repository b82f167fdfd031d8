/* Exit qualifications as normalised exits (SDM vol. 3C section 27.2.1). Pure code. */
#include "vmx.h"
#include "x86.h"

void vmx_decode_io(uint32_t qualification, struct exit *exit)
{
    exit->reason = EXIT_IO;
    exit->io.port = (uint16_t)(qualification >> QUAL_IO_PORT_SHIFT);
    exit->io.size = (uint8_t)((qualification & QUAL_IO_SIZE) + 1);
    exit->io.in = qualification & QUAL_IO_IN;
    exit->io.string = qualification & QUAL_IO_STRING;
    exit->io.rep = qualification & QUAL_IO_REP;
}

/* Instruction information of INS and OUTS, table 27-8. */
#define INFO_ADDRESS_SHIFT 7
#define INFO_ADDRESS_16 0u
#define INFO_SEGMENT_SHIFT 15

void vmx_decode_string(uint32_t info, struct exit *exit)
{
    exit->io.addr_size = (info >> INFO_ADDRESS_SHIFT & 7) == INFO_ADDRESS_16 ? 2 : 4;
    exit->io.segment = exit->io.in ? SREG_ES : (uint8_t)(info >> INFO_SEGMENT_SHIFT & 7);
}

/* Access to a control register, table 27-3. */
enum { CR_TO, CR_FROM, CR_CLTS, CR_LMSW };
#define CR_NUMBER 0xFu
#define CR_ACCESS_SHIFT 4
#define CR_GPR_SHIFT 8
#define CR_LMSW_SHIFT 16
#define MSW_BITS (CR0_PE | CR0_MP | CR0_EM | CR0_TS)

void vmx_decode_cr(uint32_t qualification, uint32_t cr0, struct exit *exit)
{
    const uint32_t access = qualification >> CR_ACCESS_SHIFT & 3;
    exit->reason = EXIT_CR;
    exit->cr.number = qualification & CR_NUMBER;
    exit->cr.gpr = qualification >> CR_GPR_SHIFT & 7;
    exit->cr.write = access != CR_FROM;
    exit->cr.has_value = access == CR_CLTS || access == CR_LMSW;
    if (access == CR_CLTS)
        exit->cr.value = cr0 & ~CR0_TS;
    else if (access == CR_LMSW) /* LMSW can set PE and not clear it */
        exit->cr.value =
            (cr0 & ~(MSW_BITS & ~CR0_PE)) | (qualification >> CR_LMSW_SHIFT & MSW_BITS);
}

/* EPT violation, table 27-7. */
#define EPT_WRITE (1u << 1)
#define EPT_FETCH (1u << 2)
#define EPT_MAPPED (7u << 3) /* readable, writable, executable */

uint32_t vmx_decode_access(uint32_t qualification)
{
    return (qualification & EPT_WRITE ? PF_W : 0) | (qualification & EPT_FETCH ? PF_I : 0) |
           (qualification & EPT_MAPPED ? PF_P : 0);
}
