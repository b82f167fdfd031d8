/* What pure code needs from the VMM, for hosted tests. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "vmm.h"

int kvsnprintf(char *buf, unsigned size, const char *fmt, va_list ap)
{
    return vsnprintf(buf, size, fmt, ap);
}

int ksnprintf(char *buf, unsigned size, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(buf, size, fmt, ap);
    va_end(ap);
    return n;
}

void panic(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    abort();
}

volatile bool host_work;

/* A TSC of 1 GHz that began at 5. */
uint64_t host_tsc_zero(void)
{
    return 5;
}

uint64_t host_tsc_to_ns(uint64_t tsc)
{
    return tsc - host_tsc_zero();
}
