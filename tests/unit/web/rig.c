/* See rig.h. */
#include "tests/unit/web/rig.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/unit/scratch.h"

#define WAIT_TURNS 15000 /* a millisecond each */

static void verify(void *arg, const json_t *body, bool deleted, struct cs_verdict *ret)
{
    (void)arg;
    (void)deleted;
    ret->valid = true;
    ret->serial = cm_json_int(body, "serial", 0);
}

static void commit(void *arg)
{
    struct rig *rig = arg;

    if (rig->store)
        assert_int_equal(cs_commit(rig->store, NULL), 0);
}

static void arm(void *arg)
{
    struct rig *rig = arg;

    cm_loop_defer(rig->loop, commit, rig);
}

static json_t *services(void *arg)
{
    (void)arg;
    return json_pack("{s:[{s:s, s:s, s:b}], s:{s:s}}", "listeners", "name", "challenge<b>",
                     "address", "0.0.0.0:80", "ok", 1, "upstream", "state", "idle");
}

static struct http_listener *listen_on(struct rig *rig, const char *address)
{
    struct http_listener *listener = NULL;
    struct cm_err err = CM_ERR_INIT;
    struct http_listen_opts opts = {.address = address,
                                    .fd = -1,
                                    .limit = web_limit,
                                    .handler = web_handle,
                                    .too_large = web_too_large,
                                    .arg = rig->web};

    if (http_listen(rig->loop, &opts, &listener, &err) < 0)
        fail_msg("http_listen %s: %s", address, err.what);
    return listener;
}

void rig_start(struct rig *rig)
{
    struct cm_err err = CM_ERR_INIT;
    struct cs_opts store = {.create = true,
                            .policy = true,
                            .verify = verify,
                            .port_arg = rig,
                            .arm = arm,
                            .arm_arg = rig};
    struct web_env env = {.self = "alpha.example.net",
                          .ui_url = "https://alpha.example.net:8443",
                          .status = services};
    char address[256];

    memset(rig, 0, sizeof(*rig));
    assert_non_null(scratch_dir(rig->dir, sizeof(rig->dir), "web-rig"));
    snprintf(rig->socket, sizeof(rig->socket), "%s/ui.sock", rig->dir);
    rig->loop = cm_loop_new();
    doubles_start(rig->loop);
    store.dir = rig->dir;
    if (cs_open(&store, &rig->store, &err) < 0)
        fail_msg("cs_open: %s", err.what);
    env.loop = rig->loop;
    env.store = rig->store;
    env.fleet = (struct fleet *)&doubles; /* never looked into */
    env.engine = (struct engine *)&doubles;
    rig->web = web_new(&env);
    rig->tcp = listen_on(rig, "127.0.0.1:0");
    snprintf(rig->address, sizeof(rig->address), "%s", http_listener_address(rig->tcp));
    snprintf(address, sizeof(address), "unix:%s", rig->socket);
    rig->unix_socket = listen_on(rig, address);
}

static void remove_dir(const char *dir)
{
    DIR *d = opendir(dir);

    assert_non_null(d);
    for (struct dirent *e = readdir(d); e; e = readdir(d)) {
        char path[600];

        snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
        if (e->d_name[0] != '.')
            unlink(path);
    }
    closedir(d);
    rmdir(dir);
}

void rig_settle(struct rig *rig)
{
    for (int i = 0; i < 20; i++) {
        cm_loop_turn(rig->loop, false);
        usleep(1000);
    }
}

void rig_stop(struct rig *rig)
{
    cm_clock_fake(-1, -1);
    http_listener_free(rig->tcp);
    http_listener_free(rig->unix_socket);
    web_free(rig->web);
    rig_settle(rig);
    cs_close(rig->store);
    rig->store = NULL;
    cm_loop_free(rig->loop);
    doubles_stop();
    remove_dir(rig->dir);
}

void rig_sign_in(struct rig *rig)
{
    char set_cookie[SESSION_COOKIE_MAX];
    struct reply page;
    const char *token;

    assert_int_equal(web_user_put(rig->store, USER, "$argon2id$unusable", NULL), 0);
    assert_int_equal(web_session_start(rig->store, USER, set_cookie, NULL), 0);
    snprintf(rig->cookie, sizeof(rig->cookie), "Cookie: %.*s\r\n", (int)strcspn(set_cookie, ";"),
             set_cookie);
    rig_get(rig, "/servers", &page);
    assert_status(&page, 200);
    token = strstr(page.body, "name=\"csrf\" value=\"");
    assert_non_null(token);
    snprintf(rig->csrf, sizeof(rig->csrf), "%.43s", token + strlen("name=\"csrf\" value=\""));
    reply_fini(&page);
}

void rig_put(struct rig *rig, json_t *take_doc)
{
    static int64_t serial = 1;
    struct cs_result result;
    struct cm_err err = CM_ERR_INIT;

    cm_json_set_int(take_doc, "serial", serial++);
    cm_json_set(take_doc, "signature",
                json_pack("{s:s, s:s, s:s}", "by", "alpha.example.net", "key",
                          "00112233445566778899aabbccddeeff", "value", "c2ln"));
    if (cs_put(rig->store, take_doc, &result, &err) < 0 || result.code < 0)
        fail_msg("cs_put: %s %s", err.what, result.reason);
    json_decref(take_doc);
}

void rig_credential(struct rig *rig, const char *ulid, const char *host, const char *status,
                    const char *not_after, const char *server)
{
    char id[64];
    json_t *doc;

    snprintf(id, sizeof(id), "credential:%s", ulid);
    doc = json_pack("{s:s, s:s, s:[s], s:[s], s:s, s:s, s:[s], s:s}", "_id", id, "type",
                    "credential", "host_names", host, "host_names_ascii", host, "status", status,
                    "account", "pebble", "servers", server, "key_type", "P-256");
    cm_json_set_str(doc, "not_after", not_after);
    rig_put(rig, doc);
}

void rig_account(struct rig *rig, const char *name)
{
    CM_AUTO_STR id = cm_asprintf("account:%s", name);

    rig_put(rig, json_pack("{s:s, s:s, s:s, s:[s], s:s, s:s}", "_id", id, "type", "account",
                           "directory", "https://ca.example/dir", "contacts",
                           "mailto:ops@example.com", "status", "new", "sealed_key", "c2VjcmV0"));
}

void rig_step(struct rig *rig, const char *ulid, const char *number, const char *text)
{
    CM_AUTO_STR key = cm_asprintf("%s/%s", ulid, number);
    CM_AUTO_JSON line = json_pack("{s:s, s:s, s:s}", "at", "2026-11-22T02:16:42.123Z", "level",
                                  "info", "text", text);

    assert_int_equal(cs_kv_put(rig->store, "log", key, line, NULL), 0);
    assert_int_equal(cs_commit(rig->store, NULL), 0);
}

/* ---- client ---- */

static int connect_to(struct rig *rig, bool unix_socket)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const char *colon = strrchr(rig->address, ':');
    int fd = socket(unix_socket ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int rc;

    assert_true(fd >= 0);
    in.sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
    assert_int_equal(cm_strcpy(un.sun_path, sizeof(un.sun_path), rig->socket), 0);
    rc = unix_socket ? connect(fd, (struct sockaddr *)&un, sizeof(un))
                     : connect(fd, (struct sockaddr *)&in, sizeof(in));
    assert_int_equal(rc, 0);
    return fd;
}

int rig_open(struct rig *rig, bool unix_socket, const char *method, const char *target,
             const char *headers, const char *body)
{
    int fd = connect_to(rig, unix_socket);
    CM_AUTO_STR length = body ? cm_asprintf("Content-Length: %zu\r\n", strlen(body)) : NULL;
    CM_AUTO_STR text =
        cm_asprintf("%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n%s%s\r\n%s", method, target,
                    rig->address, headers ? headers : "", length ? length : "", body ? body : "");
    size_t len = strlen(text);

    assert_int_equal(write(fd, text, len), (ssize_t)len);
    return fd;
}

bool rig_read(struct rig *rig, int fd, struct cm_buf *in, const char *wanted)
{
    for (int i = 0; i < WAIT_TURNS; i++) {
        char chunk[65536];
        ssize_t n;

        if (wanted && strstr(cm_buf_str(in), wanted))
            return true;
        cm_loop_turn(rig->loop, false);
        n = recv(fd, chunk, sizeof(chunk), MSG_DONTWAIT);
        if (n > 0)
            cm_buf_add(in, chunk, (size_t)n);
        else if (n == 0 || errno != EAGAIN)
            return !wanted;
        else
            usleep(200);
    }
    return false;
}

void rig_send(struct rig *rig, bool unix_socket, const char *method, const char *target,
              const char *headers, const char *body, struct reply *ret)
{
    int fd = rig_open(rig, unix_socket, method, target, headers, body);
    struct cm_buf in;
    const char *end;

    cm_buf_init(&in, 8u << 20);
    if (!rig_read(rig, fd, &in, NULL))
        fail_msg("no complete reply");
    close(fd);
    ret->text = cm_buf_take(&in, NULL);
    if (strncmp(ret->text, "HTTP/1.1 ", 9) != 0)
        fail_msg("no HTTP reply: %s", ret->text);
    ret->status = (int)strtol(ret->text + 9, NULL, 10);
    end = strstr(ret->text, "\r\n\r\n");
    assert_non_null(end);
    ret->body = end + 4;
}

void rig_send_and_vanish(struct rig *rig, const char *method, const char *target,
                         const char *headers, const char *body)
{
    int fd = rig_open(rig, false, method, target, headers, body);

    cm_loop_turn(rig->loop, false);
    close(fd);
}

void rig_get(struct rig *rig, const char *target, struct reply *ret)
{
    rig_send(rig, false, "GET", target, rig->cookie, NULL, ret);
}

void rig_post(struct rig *rig, const char *target, const char *body, struct reply *ret)
{
    CM_AUTO_STR headers = cm_asprintf("%s" SAME FORM, rig->cookie);
    CM_AUTO_STR text = cm_asprintf("csrf=%s%s%s", rig->csrf, *body ? "&" : "", body);

    rig_send(rig, false, "POST", target, headers, text, ret);
}

void reply_fini(struct reply *reply)
{
    cm_free(reply->text);
    memset(reply, 0, sizeof(*reply));
}

const char *reply_header(const struct reply *reply, const char *name)
{
    static char value[2048];
    size_t len = strlen(name);

    for (const char *line = strstr(reply->text, "\r\n"); line && line + 2 < reply->body;
         line = strstr(line + 2, "\r\n")) {
        if (strncasecmp(line + 2, name, len) == 0 && line[2 + len] == ':') {
            const char *text = line + 2 + len + 1;

            text += strspn(text, " ");
            snprintf(value, sizeof(value), "%.*s", (int)strcspn(text, "\r"), text);
            return value;
        }
    }
    return NULL;
}
