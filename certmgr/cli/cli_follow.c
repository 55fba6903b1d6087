/* Live events of one credential (server-sent events, WHATWG HTML 9.2), as the page reads them. */
#include "certmgr/cli/cli_follow.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/core/buf.h"
#include "base/core/json.h"
#include "base/core/mem.h"
#include "base/net/http_client.h"

struct follow {
    struct cm_loop *loop;
    cli_event_fn fn;
    void *arg;
    struct cm_buf line, data;              /* under way */
    char event[32], id[CLI_EVENT_ID_SIZE]; /* of the event under way */
    char *last;                            /* Last-Event-ID */
    bool heard;                            /* this connection told something */
    bool stop;
    int status;
    struct cm_err err;
};

/* ---- the stream's lines ---------------------------------------------------------------------- */

static void end_event(struct follow *f)
{
    json_t *data = NULL;
    if (f->data.len > 0 && cm_json_parse_lax(f->data.data, f->data.len, &data, NULL) == 0) {
        cli_clean(data);
        f->heard = true;
        f->stop = f->fn(f->arg, f->event, data) != 0 || f->stop;
    }
    if (f->id[0] != '\0')
        (void)cm_strcpy(f->last, CLI_EVENT_ID_SIZE, f->id);
    json_decref(data);
    f->event[0] = f->id[0] = '\0';
    f->data.len = 0;
}

/* One line without its end.  What is too long for its place is not one of ours: left out. */
static void take_line(struct follow *f, const char *line, size_t len)
{
    if (len == 0) {
        end_event(f);
        return;
    }
    const char *colon = memchr(line, ':', len);
    size_t name = colon ? (size_t)(colon - line) : len;
    const char *value = colon ? colon + 1 : line + len;
    if (colon && value < line + len && *value == ' ')
        value++;
    size_t size = (size_t)(line + len - value);
    if (name == 5 && strncmp(line, "event", 5) == 0 && size < sizeof(f->event)) {
        memcpy(f->event, value, size);
        f->event[size] = '\0';
    } else if (name == 2 && strncmp(line, "id", 2) == 0 && size < sizeof(f->id)) {
        memcpy(f->id, value, size);
        f->id[size] = '\0';
    } else if (name == 4 && strncmp(line, "data", 4) == 0) {
        cm_buf_add(&f->data, value, size);
    }
}

static int on_data(void *arg, const void *data, size_t len)
{
    struct follow *f = arg;
    const char *at = data;
    const char *end = at + len;
    while (at < end && !f->stop) {
        const char *eol = memchr(at, '\n', (size_t)(end - at));
        cm_buf_add(&f->line, at, (size_t)((eol ? eol : end) - at));
        if (f->line.failed || f->data.failed)
            return cm_fail(&f->err, CM_ELIMIT, "an event of the server is too long");
        if (!eol)
            break;
        take_line(f, f->line.len > 0 ? f->line.data : "", f->line.len);
        f->line.len = 0;
        at = eol + 1;
    }
    return f->stop ? CM_ECLOSED : 0;
}

/* ---- connections ----------------------------------------------------------------------------- */

static void on_end(void *arg, const struct http_result *res)
{
    struct follow *f = arg;
    f->status = res->status;
    cm_loop_stop(f->loop);
}

static void listen_once(struct cli *cli, struct follow *f, const char *url)
{
    char resume[64] = "";
    const char *headers[] = {"Accept: text/event-stream", NULL, NULL};
    if (f->last[0] != '\0') {
        snprintf(resume, sizeof(resume), "Last-Event-ID: %s", f->last);
        headers[1] = resume;
    }
    struct http_call_opts opts = {.url = url,
                                  .headers = headers,
                                  .allow_http = true,
                                  .timeout_ms = -1,
                                  .silence_ms = CLI_FOLLOW_SILENCE_MS,
                                  .on_data = on_data,
                                  .unix_socket = cli->config.socket};
    cm_buf_init(&f->line, CLI_FOLLOW_EVENT_MAX);
    cm_buf_init(&f->data, CLI_FOLLOW_EVENT_MAX);
    f->status = 0;
    f->heard = false;
    struct http_client *client = http_client_new(f->loop);
    if (http_call(client, &opts, on_end, f, &f->err) != NULL)
        cm_loop_run(f->loop);
    http_client_free(client);
    cm_buf_fini(&f->line);
    cm_buf_fini(&f->data);
}

void cli_nap(int ms)
{
    struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = (ms % 1000) * 1000000L};
    (void)nanosleep(&ts, NULL); /* an interrupted nap is a shorter one */
}

enum cli_follow_end cli_follow(struct cli *cli, const char *path, char last[CLI_EVENT_ID_SIZE],
                               cli_event_fn fn, void *arg)
{
    struct follow f = {.loop = cm_loop_new(), .fn = fn, .arg = arg, .last = last};
    CM_AUTO_STR url = cm_asprintf("http://localhost/api/v1%s", path);
    enum cli_follow_end end = CLI_FOLLOW_LOST;
    unsigned silent = 0; /* connections in a row that told nothing */
    while (silent < CLI_FOLLOW_TRIES) {
        listen_once(cli, &f, url);
        if (f.stop || f.err.code != 0) {
            end = f.stop ? CLI_FOLLOW_STOPPED : CLI_FOLLOW_LOST;
            break;
        }
        if (f.status >= 400) { /* an answer, not a broken connection */
            end = CLI_FOLLOW_REFUSED;
            break;
        }
        silent = f.heard ? 0 : silent + 1;
        cli_nap(CLI_FOLLOW_AGAIN_MS); /* the server restarts, or ended an old session */
    }
    cm_err_fini(&f.err);
    cm_loop_free(f.loop);
    return end;
}
