/* Log lines: formatted whole, control bytes escaped, one write(2) each. */
#include "base/core/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/core/buf.h"
#include "base/core/clock.h"
#include "base/core/mem.h"
#include "base/core/utf8.h"

#define LOG_TEXT_MAX      3072 /* message before escaping */
#define LOG_FULL_EVERY_MS 60000
#define LOG_LINE_MAX      (16u << 10) /* every byte may grow to four */
#define LOG_NAME_MAX      32

static char process_name[LOG_NAME_MAX] = "-";
static enum cm_level lowest = CM_LOG_INFO;
static const char *const level_names[] = {"debug", "info", "warn", "error"};

void cm_log_init(const char *process, enum cm_level level)
{
    cm_strcpy(process_name, sizeof(process_name), process);
    lowest = level;
}

/* Printable text passes; control bytes (C0, DEL, C1 as UTF-8) and stray bytes become \n or \xNN.
 * In one word (the object) blanks are escaped too, so that the fields stay countable. */
static void add_escaped(struct cm_buf *line, const char *text, bool one_word)
{
    size_t len = strlen(text);
    for (size_t at = 0; at < len;) {
        unsigned char c = (unsigned char)text[at];
        size_t step = cm_utf8_seq(text + at, len - at);
        bool c1 = step == 2 && c == 0xc2 && (unsigned char)text[at + 1] < 0xa0;
        if (c == '\n')
            cm_buf_puts(line, "\\n");
        else if (c < 0x20 || c == 0x7f || step == 0 || (one_word && c == ' '))
            cm_buf_printf(line, "\\x%02x", c);
        else if (c1)
            cm_buf_printf(line, "\\x%02x\\x%02x", c, (unsigned char)text[at + 1]);
        else
            cm_buf_add(line, text + at, step);
        at += step ? step : 1;
    }
}

static void write_all(const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(STDERR_FILENO, data, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return; /* nobody is left to tell */
        data += n;
        len -= (size_t)n;
    }
}

void cm_log(enum cm_level level, const char *component, const char *object, const char *fmt, ...)
{
    if (level < lowest)
        return;
    int saved = errno;
    char text[LOG_TEXT_MAX], now[CM_TIME_TEXT];
    va_list ap;
    va_start(ap, fmt);
    int len = vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (len < 0)
        text[0] = '\0';
    else if ((size_t)len >= sizeof(text))
        cm_utf8_trim(text);
    cm_time_format(cm_now_ms(), now);

    struct cm_buf line;
    cm_buf_init(&line, LOG_LINE_MAX);
    cm_buf_printf(&line, "%s %s %s %s ", now, level_names[level], process_name, component);
    add_escaped(&line, object && object[0] ? object : "-", true);
    cm_buf_putc(&line, ' ');
    add_escaped(&line, text, false);
    cm_buf_puts(&line, (size_t)len >= sizeof(text) ? "…\n" : "\n");
    write_all(cm_buf_str(&line), line.len);
    cm_buf_fini(&line);
    errno = saved;
}

/* A full disk is met by every write, and the log may lie on it, too: one line in a while stands for
 * the others.  Returns how many were left out before this one, or -1 = leave it out. */
static int64_t full_again(void)
{
    static _Atomic int64_t told_ms, left_out; /* of all threads */
    static _Atomic bool told;
    int64_t now = cm_mono_ms();
    if (told && now >= told_ms && now - told_ms < LOG_FULL_EVERY_MS) {
        left_out++;
        return -1;
    }
    told = true;
    told_ms = now;
    return atomic_exchange(&left_out, 0);
}

void cm_log_err(enum cm_level level, const char *component, const struct cm_err *err)
{
    char line[LOG_TEXT_MAX / 2];
    int64_t left_out = err->code == CM_EFULL ? full_again() : 0;
    if (left_out < 0)
        return;
    if (left_out > 0)
        cm_log(level, component, NULL, "%" PRId64 " more messages about a full disk were left out",
               left_out);
    cm_err_line(err, line, sizeof(line));
    cm_log(level, component, err->object, "%s (%s)%s%s", line, cm_code_name(err->code),
           err->hint[0] ? "; " : "", err->hint);
}

int cm_level_parse(const char *text, enum cm_level *ret)
{
    for (size_t i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++) {
        if (text && strcmp(text, level_names[i]) == 0) {
            *ret = (enum cm_level)i;
            return 0;
        }
    }
    return CM_EINVAL;
}
