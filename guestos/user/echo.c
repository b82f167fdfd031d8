/* Print the arguments: echo [-n] [WORD...]. With -n without a line end. */
#include "lib.h"

int main(int argc, char **argv)
{
    const bool bare = argc > 1 && !strcmp(argv[1], "-n");
    for (int i = 1 + bare; i < argc; i++)
        printf("%s%s", argv[i], i + 1 < argc ? " " : "");
    if (!bare)
        printf("\n");
    return 0;
}
