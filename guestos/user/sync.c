/* sync: everything that was written is on the disk when this ends. */
#include "lib.h"

int main(int argc, char **argv)
{
    (void)argc, (void)argv;
    const int error = sync();
    if (error)
        dprintf(2, "sync: %s\n", error_text(error));
    return error != 0;
}
