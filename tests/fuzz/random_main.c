/*
 * A fuzzer's function without libFuzzer: random inputs from a seed, for where there is no clang.
 * usage: PROGRAM CASES SEED. The sanitizers, or the function itself, end it when something is
 * wrong; a case that failed is the last one counted, and can be repeated with the same arguments.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define INPUT_MAX 200u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* xorshift64 (G. Marsaglia, "Xorshift RNGs") */
static uint64_t next_random(uint64_t *x)
{
    *x ^= *x << 13;
    *x ^= *x >> 7;
    return *x ^= *x << 17;
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return fprintf(stderr, "usage: %s CASES SEED\n", argv[0]), 2;
    const unsigned long cases = strtoul(argv[1], NULL, 10);
    uint64_t state = strtoul(argv[2], NULL, 10) * 2 + 1;
    for (int i = 0; i < 16; i++)
        next_random(&state);
    for (unsigned long n = 0; n < cases; n++) {
        const size_t size = next_random(&state) % INPUT_MAX + 1;
        uint8_t *input = malloc(size); /* of its own size: the sanitizer sees who reads on */
        for (size_t i = 0; input && i < size; i++)
            input[i] = (uint8_t)(next_random(&state) >> 32);
        if (!input || LLVMFuzzerTestOneInput(input, size))
            return 1;
        free(input);
    }
    printf("%lu random cases, seed %s\n", cases, argv[2]);
    return 0;
}
