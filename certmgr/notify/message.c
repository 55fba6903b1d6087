/* Words of a message: what, where, since when, what comes next, and the page to look at. */
#include "certmgr/notify/message.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/core/buf.h"
#include "base/core/bytes.h"
#include "base/core/clock.h"
#include "base/core/json.h"
#include "base/core/mem.h"

#define LABEL_COLUMNS 10

/* ---- JSON ------------------------------------------------------------------------------------ */

static json_t *envelope(const char *server, int64_t now_ms, bool test)
{
    char id[CM_ULID_TEXT];
    json_t *message = json_object();
    cm_ulid(id);
    cm_json_set_str(message, "type", "certmgr.notice");
    cm_json_set_int(message, "version", 1);
    cm_json_set_str(message, "id", id);
    cm_json_set_time(message, "at", now_ms);
    cm_json_set_str(message, "server", server);
    cm_json_set_bool(message, "test", test);
    return message;
}

static json_t *with_link(const json_t *event, const char *ui_url)
{
    json_t *out = json_deep_copy(event);
    CM_AUTO_STR link = cm_asprintf("%s%s", ui_url, cm_json_str_or(event, "path", "/"));
    cm_json_set_str(out, "link", link);
    json_object_del(out, "path");
    return out;
}

json_t *message_new(const json_t *events, const char *server, const char *ui_url, int64_t now_ms)
{
    json_t *message = envelope(server, now_ms, false), *list = json_array();
    size_t count = json_array_size(events), told = 0, bytes = 0;
    for (; told < count && told < MESSAGE_EVENTS_MAX; told++) {
        json_t *event = with_link(json_array_get(events, told), ui_url);
        bytes += json_dumpb(event, NULL, 0, JSON_COMPACT);
        if (bytes > MESSAGE_BYTES_MAX) {
            json_decref(event);
            break;
        }
        json_array_append_new(list, event);
    }
    cm_json_set(message, "events", list);
    cm_json_set_int(message, "more", (int64_t)(count - told));
    return message;
}

json_t *message_test(const char *who, const char *server, const char *ui_url, int64_t now_ms)
{
    json_t *message = envelope(server, now_ms, true), *list = json_array(), *event = json_object();
    CM_AUTO_STR what =
        cm_asprintf("%s asked for this on server %s. Notices arrive here.", who, server);
    cm_json_set_str(event, "event", "test");
    cm_json_set_str(event, "key", "test");
    cm_json_set_str(event, "kind", "test");
    cm_json_set_str(event, "severity", "info");
    cm_json_set_str(event, "title", "Test notice");
    cm_json_set_str(event, "what", what);
    cm_json_set_str(event, "path", "/status");
    json_array_append_new(list, with_link(event, ui_url));
    json_decref(event);
    cm_json_set(message, "events", list);
    cm_json_set_int(message, "more", 0);
    return message;
}

/* ---- language -------------------------------------------------------------------------------- */

static char *said(const struct message_tongue *tongue, const char *english)
{
    char *text = tongue->say && english ? tongue->say(tongue->language, english) : NULL;
    return text ? text : cm_strdup(english ? english : "");
}

static void event_in(json_t *event, const struct message_tongue *tongue)
{
    static const char *const texts[] = {"title", "where", "what", "hint"};
    json_t *causes = cm_json_arr(event, "because"), *cause;
    size_t i;
    for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        CM_AUTO_STR text = said(tongue, cm_json_str(event, texts[i]));
        if (cm_json_str(event, texts[i]))
            cm_json_set_str(event, texts[i], text);
    }
    json_array_foreach(causes, i, cause)
    {
        CM_AUTO_STR text = said(tongue, json_string_value(cause));
        json_array_set_new(causes, i, json_string(text));
    }
}

json_t *message_in(const json_t *message, const struct message_tongue *tongue)
{
    json_t *out = json_deep_copy(message), *event;
    size_t i;
    cm_json_set_str(out, "language", tongue->say ? tongue->language : "en");
    json_array_foreach(cm_json_arr(out, "events"), i, event)
    {
        event_in(event, tongue);
    }
    return out;
}

/* ---- mail ------------------------------------------------------------------------------------ */

static bool event_is(const json_t *event, const char *name)
{
    return strcmp(cm_json_str_or(event, "event", ""), name) == 0;
}

/* The word before a title. */
static const char *mark(const json_t *event)
{
    return event_is(event, "resolved") ? "Resolved: "
           : event_is(event, "still")  ? "Still open: "
           : event_is(event, "worse")  ? "More urgent: "
                                       : "";
}

static char *subject_words(const json_t *message)
{
    const json_t *events = cm_json_arr(message, "events");
    size_t count = json_array_size(events), resolved = 0, i;
    int64_t more = cm_json_int(message, "more", 0);
    const json_t *first = json_array_get(events, 0);
    json_t *event;
    if (count == 1 && more == 0)
        return cm_asprintf("%s%s", mark(first), cm_json_str_or(first, "title", ""));
    json_array_foreach(events, i, event)
    {
        resolved += event_is(event, "resolved");
    }
    if (resolved == count && more == 0)
        return cm_asprintf("%zu resolved", count);
    if (resolved > 0)
        return cm_asprintf("%" PRId64 " notices, %zu of them resolved", (int64_t)count + more,
                           resolved);
    return cm_asprintf("%" PRId64 " notices: %s%s, …", (int64_t)count + more, mark(first),
                       cm_json_str_or(first, "title", ""));
}

char *message_subject(const json_t *message, const struct message_tongue *tongue)
{
    CM_AUTO_STR words = subject_words(message);
    CM_AUTO_STR text = said(tongue, words);
    return cm_asprintf("[CertMgr] %s", text);
}

/* Columns on a terminal: what is not ASCII is two wide. */
static int columns(const char *text)
{
    int count = 0;
    for (; *text; text++)
        count += (unsigned char)*text < 0x80 ? 1 : (unsigned char)*text >= 0xc0 ? 2 : 0;
    return count;
}

static void line(struct cm_buf *out, const struct message_tongue *tongue, const char *label,
                 const char *text)
{
    if (!text || !text[0])
        return;
    CM_AUTO_STR words = said(tongue, label);
    int blanks = LABEL_COLUMNS - columns(words);
    cm_buf_printf(out, "  %s%*s ", words, blanks > 0 ? blanks : 0, "");
    for (; *text; text++) /* text of a CA may hold anything; here each line is one fact */
        cm_buf_putc(out, (unsigned char)*text < ' ' || *text == 0x7f ? ' ' : *text);
    cm_buf_putc(out, '\n');
}

static void time_line(struct cm_buf *out, const struct message_tongue *tongue, const char *label,
                      const json_t *event, const char *member)
{
    int64_t ms = cm_json_time(event, member, 0);
    char text[CM_TIME_TEXT], human[40];
    if (ms == 0)
        return;
    cm_time_format(ms, text);
    snprintf(human, sizeof(human), "%.10s %.8s UTC", text, text + 11);
    line(out, tongue, label, human);
}

static void event_text(struct cm_buf *out, const struct message_tongue *tongue, const json_t *event)
{
    size_t i;
    json_t *cause;
    bool critical = strcmp(cm_json_str_or(event, "severity", ""), "critical") == 0 &&
                    !event_is(event, "resolved");
    CM_AUTO_STR marked = cm_asprintf("%s%s", mark(event), cm_json_str_or(event, "title", ""));
    CM_AUTO_STR title = said(tongue, marked);
    CM_AUTO_STR urgent = said(tongue, critical ? "CRITICAL  " : "");
    cm_buf_printf(out, "%s%s\n", urgent, title);
    line(out, tongue, "Where:", cm_json_str(event, "where"));
    line(out, tongue,
         event_is(event, "resolved") ? "It was:" : "What:", cm_json_str(event, "what"));
    json_array_foreach(cm_json_arr(event, "because"), i, cause)
    {
        line(out, tongue, "Because:", json_string_value(cause));
    }
    time_line(out, tongue, "Since:", event, "since");
    time_line(out, tongue, "Resolved:", event, "resolved_at");
    time_line(out, tongue, "Next try:", event, "next_at");
    line(out, tongue, "To do:", cm_json_str(event, "hint"));
    line(out, tongue, "Link:", cm_json_str(event, "link"));
    cm_buf_putc(out, '\n');
}

/* What stands under the events. */
static char *foot(const json_t *message, const struct message_tongue *tongue, int64_t more)
{
    CM_AUTO_STR count = more > 0 ? cm_asprintf("And %" PRId64 " more.", more) : cm_strdup("");
    CM_AUTO_STR from = cm_asprintf("CertMgr on server %s", cm_json_str_or(message, "server", ""));
    CM_AUTO_STR rest = said(tongue, count);
    CM_AUTO_STR sender = said(tongue, from);
    return cm_asprintf("%s%s-- \n%s\n", rest, more > 0 ? "\n\n" : "", sender);
}

char *message_text(const json_t *message, const struct message_tongue *tongue)
{
    struct cm_buf out;
    size_t i;
    json_t *event;
    int64_t more = cm_json_int(message, "more", 0);
    cm_buf_init(&out, MESSAGE_TEXT_MAX);
    json_array_foreach(cm_json_arr(message, "events"), i, event)
    {
        size_t before = out.len;
        event_text(&out, tongue, event);
        if (!out.failed)
            continue;
        out.failed = 0; /* whole paragraphs only; the rest is counted */
        out.len = before;
        out.data[before] = '\0';
        more += (int64_t)(json_array_size(cm_json_arr(message, "events")) - i);
        break;
    }
    CM_AUTO_STR list = cm_buf_take(&out, NULL);
    cm_buf_fini(&out);
    CM_AUTO_STR end = foot(message, tongue, more);
    return cm_asprintf("%s%s", list, end);
}

/* ---- signature ------------------------------------------------------------------------------- */

void message_sign(const char *secret, int64_t unix_s, const char *body, size_t len,
                  char out[MESSAGE_SIGNATURE_MAX])
{
    uint8_t mac[CM_SHA256_SIZE];
    char hex[CM_SHA256_HEX];
    CM_AUTO_STR head = cm_asprintf("%" PRId64 ".", unix_s);
    struct cm_buf text;
    cm_buf_init(&text, strlen(head) + len);
    cm_buf_puts(&text, head);
    cm_buf_add(&text, body, len);
    cm_hmac_sha256(secret, strlen(secret), text.data, text.len, mac);
    cm_buf_fini(&text);
    cm_hex(mac, sizeof(mac), hex);
    snprintf(out, MESSAGE_SIGNATURE_MAX, "t=%" PRId64 ",v1=%s", unix_s, hex);
}
