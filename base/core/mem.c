/* Allocation that ends the process instead of returning NULL; the only file with raw malloc. */
#include "base/core/mem.h"

#include <malloc.h>
#include <openssl/crypto.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/err.h"

#define KEPT_BYTES (16 << 20)

/* Nothing may allocate here: plain stdio on an unbuffered stream. */
static void __attribute__((noreturn)) out_of_memory(size_t size)
{
    fprintf(stderr, "out of memory (%zu bytes wanted): ending this process\n", size);
    abort();
}

/* Small blocks are joined with their neighbours as they are freed.  glibc puts that off and joins
 * all of them at the next block of 1 KB or more; our documents are hundreds of small values and a
 * few long texts, so that this came at every text and met cold memory.
 *
 * The text of a request or reply has some megabytes.  As blocks of their own, or at the end of a
 * heap that is cut at once, each is cleared by the kernel page by page and given back a moment
 * later, a third of all page faults; KEPT_BYTES at most stay for the next one. */
__attribute__((constructor)) static void tune(void)
{
    (void)mallopt(M_MXFAST, 0);
    (void)mallopt(M_MMAP_THRESHOLD, KEPT_BYTES);
    (void)mallopt(M_TRIM_THRESHOLD, KEPT_BYTES);
}

void *cm_malloc(size_t size)
{
    void *ptr = malloc(size ? size : 1);
    if (!ptr)
        out_of_memory(size);
    return ptr;
}

void *cm_calloc(size_t count, size_t size)
{
    void *ptr = calloc(count ? count : 1, size ? size : 1);
    if (!ptr)
        out_of_memory(size);
    return ptr;
}

void *cm_realloc(void *ptr, size_t size)
{
    void *bigger = realloc(ptr, size ? size : 1);
    if (!bigger)
        out_of_memory(size);
    return bigger;
}

char *cm_strdup(const char *text)
{
    return cm_memdup(text, strlen(text) + 1);
}

char *cm_strndup(const char *text, size_t max)
{
    size_t len = strnlen(text, max);
    char *copy = cm_malloc(len + 1);
    memcpy(copy, text, len);
    copy[len] = '\0';
    return copy;
}

void *cm_memdup(const void *data, size_t size)
{
    void *copy = cm_malloc(size);
    if (size > 0)
        memcpy(copy, data, size);
    return copy;
}

char *cm_asprintf(const char *fmt, ...)
{
    va_list ap;
    char *text = NULL;
    va_start(ap, fmt);
    int len = vasprintf(&text, fmt, ap);
    va_end(ap);
    if (len < 0)
        out_of_memory(0);
    return text;
}

void cm_free(void *ptr)
{
    free(ptr);
}

void cm_free_secret(void *ptr, size_t size)
{
    if (!ptr)
        return;
    cm_wipe(ptr, size);
    free(ptr);
}

void cm_wipe(void *ptr, size_t size)
{
    if (ptr && size > 0)
        OPENSSL_cleanse(ptr, size);
}

int cm_memcmp_ct(const void *a, const void *b, size_t size)
{
    return CRYPTO_memcmp(a, b, size);
}

int cm_strcpy(char *out, size_t out_size, const char *text)
{
    CM_BUG_ON(out_size == 0);
    size_t len = strlen(text);
    size_t take = len < out_size ? len : out_size - 1;
    memcpy(out, text, take);
    out[take] = '\0';
    return take == len ? 0 : CM_ELIMIT;
}

void cm_free_charp(char **ptr)
{
    cm_free(*ptr);
    *ptr = NULL;
}

void cm_bug(const char *file, int line, const char *what)
{
    fprintf(stderr, "programming error at %s:%d: %s\n", file, line, what);
    abort();
}
