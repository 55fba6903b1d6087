/* Growing byte buffer whose cap is given at creation (curl's dynbuf idea). */
#pragma once

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

struct cm_buf {
    char *data; /* always NUL-terminated when len > 0; NULL when nothing was added yet */
    size_t len;
    size_t size; /* allocated */
    size_t max;  /* cap on len */
    int failed;  /* sticky: the cap was hit; later adds do nothing */
};

void cm_buf_init(struct cm_buf *buf, size_t max);
/* Writes into size >= 1 bytes of the caller's instead: never grows (its cap is size - 1), owns
 * nothing, and is not finished. */
void cm_buf_place(struct cm_buf *buf, char *place, size_t size);
void cm_buf_fini(struct cm_buf *buf);
void cm_buf_reset(struct cm_buf *buf); /* len = 0, keeps the memory, clears failed */
/* Makes room for more bytes at once, where the size is known; adds nothing. */
void cm_buf_reserve(struct cm_buf *buf, size_t more);
/* All adders return 0 or CM_ELIMIT. */
int cm_buf_add(struct cm_buf *buf, const void *data, size_t len);
int cm_buf_puts(struct cm_buf *buf, const char *text);
int cm_buf_putc(struct cm_buf *buf, char c);
int cm_buf_printf(struct cm_buf *buf, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int cm_buf_vprintf(struct cm_buf *buf, const char *fmt, va_list ap)
    __attribute__((format(printf, 2, 0)));
/* Drops n bytes from the front. */
void cm_buf_consume(struct cm_buf *buf, size_t n);
/* The text ("" when empty); borrowed. */
const char *cm_buf_str(const struct cm_buf *buf);
/* Hands the memory over (NUL-terminated, never NULL); the buffer is empty afterwards. */
char *cm_buf_take(struct cm_buf *buf, size_t *ret_len);
