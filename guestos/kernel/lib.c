/* Memory and strings. */
#include "kernel.h"

void *memcpy(void *to, const void *from, size_t n)
{
    void *start = to;
    uint32_t words = n / 4, rest = n % 4;
    __asm__ volatile("rep movsl" : "+D"(to), "+S"(from), "+c"(words) : : "memory");
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(rest) : : "memory");
    return start;
}

void *memset(void *to, int byte, size_t n)
{
    void *start = to;
    uint32_t words = n / 4, rest = n % 4, fill = (uint8_t)byte * 0x01010101u;
    __asm__ volatile("rep stosl" : "+D"(to), "+c"(words) : "a"(fill) : "memory");
    __asm__ volatile("rep stosb" : "+D"(to), "+c"(rest) : "a"(fill) : "memory");
    return start;
}

int memcmp(const void *a, const void *b, size_t n)
{
    const uint8_t *x = a, *y = b;
    for (size_t i = 0; i < n; i++) {
        if (x[i] != y[i])
            return x[i] - y[i];
    }
    return 0;
}

size_t strlen(const char *s)
{
    size_t n = 0;
    while (s[n])
        n++;
    return n;
}

int strncmp(const char *a, const char *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (a[i] != b[i] || !a[i])
            return (uint8_t)a[i] - (uint8_t)b[i];
    }
    return 0;
}

int strcmp(const char *a, const char *b)
{
    return strncmp(a, b, SIZE_MAX);
}

const char *strstr(const char *s, const char *what)
{
    for (const size_t n = strlen(what); *s; s++) {
        if (!strncmp(s, what, n))
            return s;
    }
    return NULL;
}

void copy_name(char to[NAME_MAX + 1], const char *from)
{
    int i = 0;
    for (; i < NAME_MAX && from[i]; i++)
        to[i] = from[i];
    to[i] = 0;
}
