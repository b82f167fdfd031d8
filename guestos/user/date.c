/* Print the date and the time of day. */
#include "lib.h"

int main(int argc, char **argv)
{
    struct date d;
    (void)argv;
    if (argc > 1) {
        dprintf(2, "use: date\n");
        return 2;
    }
    const int error = date(&d);
    if (error < 0) {
        dprintf(2, "date: %s\n", error_text(error));
        return 1;
    }
    printf("%04u-%02u-%02u %02u:%02u:%02u UTC\n", d.year, d.month, d.day, d.hour, d.minute,
           d.second);
    return 0;
}
