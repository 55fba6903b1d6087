/*
 * Allocation that cannot return NULL, and typed clean-up.
 *
 * Out of memory ends the process with one line on stderr: every process may be killed at any
 * moment (persist before each remote step), so a restart is the honest answer, and no caller has
 * an untested NULL branch.  Raw malloc/free are banned outside base/core.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

void *cm_malloc(size_t size);
void *cm_calloc(size_t count, size_t size);
void *cm_realloc(void *ptr, size_t size);
char *cm_strdup(const char *text);
char *cm_strndup(const char *text, size_t max);
void *cm_memdup(const void *data, size_t size);
/* printf into a fresh string. */
char *cm_asprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void cm_free(void *ptr);
/* Wipes size bytes (not optimised away), then frees.  NULL is allowed. */
void cm_free_secret(void *ptr, size_t size);
/* For a large buffer on the stack that is filled before it is read: the hardened build leaves it as
 * it is, while it zeroes all others. */
#if defined(__has_attribute) && __has_attribute(uninitialized)
#define CM_UNSET __attribute__((uninitialized))
#else
#define CM_UNSET
#endif
/* Wipes memory; never optimised away. */
void cm_wipe(void *ptr, size_t size);
/* Constant-time comparison; 0 = equal. */
int cm_memcmp_ct(const void *a, const void *b, size_t size);
/* Bounded copy; returns 0 or CM_ELIMIT (then out is a terminated prefix). */
int cm_strcpy(char *out, size_t out_size, const char *text);

void cm_free_charp(char **ptr); /* for CM_AUTO_STR */
#define CM_AUTO_STR __attribute__((cleanup(cm_free_charp))) char *

/* Programming errors only, never for input: prints the place and aborts. */
#define CM_BUG_ON(cond)                                                                            \
    do {                                                                                           \
        if (__builtin_expect(!!(cond), 0))                                                         \
            cm_bug(__FILE__, __LINE__, #cond);                                                     \
    } while (0)
void cm_bug(const char *file, int line, const char *what) __attribute__((noreturn));
