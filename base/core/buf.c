/* Growing byte buffer with a cap; hitting the cap is sticky, so a chain of adds needs one check. */
#include "base/core/buf.h"

#include <stdio.h>
#include <string.h>

#include "base/core/err.h"
#include "base/core/mem.h"

#define BUF_FIRST_SIZE 256u

void cm_buf_init(struct cm_buf *buf, size_t max)
{
    CM_BUG_ON(max >= SIZE_MAX / 2);
    *buf = (struct cm_buf){.max = max};
}

void cm_buf_place(struct cm_buf *buf, char *place, size_t size)
{
    CM_BUG_ON(size == 0);
    *buf = (struct cm_buf){.data = place, .size = size, .max = size - 1};
    place[0] = '\0';
}

void cm_buf_fini(struct cm_buf *buf)
{
    cm_free(buf->data);
    *buf = (struct cm_buf){.max = buf->max};
}

void cm_buf_reset(struct cm_buf *buf)
{
    buf->len = 0;
    buf->failed = 0;
    if (buf->data)
        buf->data[0] = '\0';
}

/* Room for more bytes and the NUL; *ret points at the first free byte. */
static int reserve(struct cm_buf *buf, size_t more, char **ret)
{
    if (buf->failed || more > buf->max - buf->len) {
        buf->failed = 1;
        return CM_ELIMIT;
    }
    size_t need = buf->len + more + 1;
    if (need > buf->size) {
        size_t size = buf->size ? buf->size : BUF_FIRST_SIZE;
        while (size < need)
            size *= 2;
        if (size > buf->max)
            size = buf->max + 1;
        buf->data = cm_realloc(buf->data, size);
        buf->size = size;
    }
    *ret = buf->data + buf->len;
    return 0;
}

void cm_buf_reserve(struct cm_buf *buf, size_t more)
{
    char *unused;
    if (more <= buf->max - buf->len && reserve(buf, more, &unused) == 0)
        buf->data[buf->len] = '\0';
}

int cm_buf_add(struct cm_buf *buf, const void *data, size_t len)
{
    char *at;
    int rc = reserve(buf, len, &at);
    if (rc < 0)
        return rc;
    if (len > 0)
        memcpy(at, data, len);
    buf->len += len;
    buf->data[buf->len] = '\0';
    return 0;
}

int cm_buf_puts(struct cm_buf *buf, const char *text)
{
    return cm_buf_add(buf, text, strlen(text));
}

int cm_buf_putc(struct cm_buf *buf, char c)
{
    if (buf->len + 1 < buf->size && buf->len < buf->max && !buf->failed) {
        buf->data[buf->len++] = c;
        buf->data[buf->len] = '\0';
        return 0;
    }
    return cm_buf_add(buf, &c, 1);
}

int cm_buf_vprintf(struct cm_buf *buf, const char *fmt, va_list ap)
{
    va_list measure;
    va_copy(measure, ap);
    int len = vsnprintf(NULL, 0, fmt, measure);
    va_end(measure);
    CM_BUG_ON(len < 0);
    char *at;
    int rc = reserve(buf, (size_t)len, &at);
    if (rc < 0)
        return rc;
    vsnprintf(at, (size_t)len + 1, fmt, ap);
    buf->len += (size_t)len;
    return 0;
}

int cm_buf_printf(struct cm_buf *buf, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int rc = cm_buf_vprintf(buf, fmt, ap);
    va_end(ap);
    return rc;
}

void cm_buf_consume(struct cm_buf *buf, size_t n)
{
    CM_BUG_ON(n > buf->len);
    if (n == 0)
        return;
    memmove(buf->data, buf->data + n, buf->len - n);
    buf->len -= n;
    buf->data[buf->len] = '\0';
}

const char *cm_buf_str(const struct cm_buf *buf)
{
    return buf->data ? buf->data : "";
}

char *cm_buf_take(struct cm_buf *buf, size_t *ret_len)
{
    char *data = buf->data ? buf->data : cm_strdup("");
    if (ret_len)
        *ret_len = buf->len;
    *buf = (struct cm_buf){.max = buf->max};
    return data;
}
