/* The fuzzer of the hypercalls on random cases: a small part of what `make fuzz` tries, without
 * learning. A case that does not hold aborts, and says why. */
#include <criterion/criterion.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CASES 100000
#define CASE_MAX 120

static uint32_t state;

static uint8_t random_byte(void)
{
    state = state * 1664525u + 1013904223u;
    return (uint8_t)(state >> 24);
}

Test(hypercall_cases, random_ones_hold)
{
    state = 1;
    for (unsigned i = 0; i < CASES; i++) {
        uint8_t bytes[CASE_MAX];
        const size_t n = 2 + random_byte() % (CASE_MAX - 1);
        for (size_t k = 0; k < n; k++)
            bytes[k] = random_byte();
        LLVMFuzzerTestOneInput(bytes, n);
    }
}
