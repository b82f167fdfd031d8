/*
 * The words of a command: splitting, numbers, names by their beginning. Pure code.
 */
#ifndef TRIVISOR_WORDS_H
#define TRIVISOR_WORDS_H

#include "types.h"

#define WORDS_MAX 8

/*
 * Split text in place at blanks into at most WORDS_MAX words. Returns how many; WORDS_MAX + 1 when
 * there are more.
 */
int words_split(char *text, char *word[WORDS_MAX]);

/* Is there nothing but blanks? */
bool is_blank(const char *text);

/* A whole word as a number: decimal, or hexadecimal behind 0x. False: it is none, or too large. */
bool word_number(const char *word, uint32_t *value);

/* As an address: hexadecimal, with or without 0x. */
bool word_address(const char *word, uint32_t *value);

/*
 * Which of n names does the word mean? name(i) gives them. A name itself counts before names that
 * begin with it. Returns its index; NAME_NONE; or NAME_MANY when several begin with the word.
 * *common receives the length of the beginning that all those have in common.
 */
#define NAME_NONE (-1)
#define NAME_MANY (-2)
int name_find(const char *word, const char *(*name)(int i), int n, unsigned *common);

/* The name that looks most like the word, for "did you mean"; NAME_NONE: none does. */
int name_like(const char *word, const char *(*name)(int i), int n);

/* text as the inside of a JSON string; cut where there is no room. */
void json_escape(char *to, unsigned size, const char *text);

#endif
