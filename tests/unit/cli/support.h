/* Runs the command-line client as its own process and keeps what it said. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/core/file.h"
#include "base/core/json.h"
#include "base/core/mem.h"
#include "base/net/http_server.h"
#include "certmgr/cli/cli_internal.h"

#define SAID_MAX 65536

struct said {
    int status;
    char out[SAID_MAX], err[SAID_MAX];
};

/* One canned answer of the server. */
struct route {
    const char *method, *target; /* path with query, as sent */
    int status;
    const char *body;
};

struct place {
    char root[40];
    pid_t server;
    const struct route *routes;
};

static inline int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static inline void place_init(struct place *p)
{
    *p = (struct place){.root = "/tmp/cli-test-XXXXXX", .server = -1};
    assert_non_null(mkdtemp(p->root));
}

static inline void place_fini(struct place *p)
{
    if (p->server > 0) {
        kill(p->server, SIGKILL);
        waitpid(p->server, NULL, 0);
    }
    nftw(p->root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- a server that answers from a table and notes what it was asked ---- */

static inline int64_t place_limit(void *arg, const struct http_request *req)
{
    (void)arg;
    (void)req;
    return 1 << 20;
}

static inline void place_answer(void *arg, struct http_exchange *ex)
{
    struct place *p = arg;
    const struct http_request *req = http_ex_request(ex);
    const char *method = http_method_name(req->head.method);
    CM_AUTO_STR log = cm_asprintf("%s/asked", p->root);
    CM_AUTO_STR target = req->head.query != NULL && req->head.query[0] != '\0'
                             ? cm_asprintf("%s?%s", req->head.path, req->head.query)
                             : cm_strdup(req->head.path);
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    dprintf(fd, "%s %s %s\n", method, target, req->body);
    close(fd);
    for (const struct route *r = p->routes; r->method != NULL; r++) {
        if (strcmp(method, r->method) != 0 || strcmp(target, r->target) != 0)
            continue;
        http_ex_reply(ex, r->status, "application/json", r->body, strlen(r->body));
        return;
    }
    http_ex_reply(ex, 404, NULL, NULL, 0);
}

static inline void place_serve_fn(struct place *p,
                                  void (*handler)(void *arg, struct http_exchange *ex))
{
    CM_AUTO_STR dir = cm_asprintf("%s/run/certmgr", p->root);
    CM_AUTO_STR address = cm_asprintf("unix:%s/certmgr.sock", dir);
    int fd = -1;
    assert_int_equal(cm_dir_make(dir, 0755, NULL), 0);
    assert_int_equal(http_bind(address, &fd, NULL), 0); /* clients wait in the queue from here */
    p->server = fork();
    assert_true(p->server >= 0);
    if (p->server == 0) {
        struct cm_loop *loop = cm_loop_new();
        struct http_listener *listener = NULL;
        struct http_listen_opts opts = {
            .fd = fd, .limit = place_limit, .handler = handler, .arg = p};
        if (http_listen(loop, &opts, &listener, NULL) == 0)
            cm_loop_run(loop);
        _exit(1);
    }
    close(fd);
}

static inline void place_serve(struct place *p, const struct route *routes)
{
    p->routes = routes;
    place_serve_fn(p, place_answer);
}

/* What the server was asked, one line each. */
static inline char *place_asked(struct place *p)
{
    CM_AUTO_STR log = cm_asprintf("%s/asked", p->root);
    char *text = NULL;
    if (cm_file_read(log, SAID_MAX, &text, NULL, NULL) != 0)
        return cm_strdup("");
    return text;
}

/* ---- the client ---- */

static inline void take(const char *path, char out[SAID_MAX])
{
    char *text = NULL;
    assert_int_equal(cm_file_read(path, SAID_MAX - 1, &text, NULL, NULL), 0);
    cm_strcpy(out, SAID_MAX, text);
    cm_free(text);
}

static inline struct said *run_words(struct place *p, const char *input, const char *const *words)
{
    static struct said said;
    char *argv[64] = {cm_strdup("certmgr")};
    int argc = 1, status = 0;
    CM_AUTO_STR out = cm_asprintf("%s/out", p->root);
    CM_AUTO_STR err = cm_asprintf("%s/err", p->root);
    CM_AUTO_STR in = cm_asprintf("%s/in", p->root);
    assert_int_equal(cm_file_write(in, input, strlen(input), 0600, NULL), 0);
    for (size_t i = 0; words[i] != NULL; i++)
        argv[argc++] = cm_strdup(words[i]);
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        alarm(60);
        if (freopen(in, "r", stdin) == NULL || freopen(out, "w", stdout) == NULL ||
            freopen(err, "w", stderr) == NULL)
            _exit(98);
        status = cli_main(argc, argv);
        fflush(NULL);
        _exit(status);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    for (int i = 0; i < argc; i++)
        cm_free(argv[i]);
    take(out, said.out);
    take(err, said.err);
    if (!WIFEXITED(status))
        fail_msg("the client was ended by signal %d: %s", WTERMSIG(status), said.err);
    said.status = WEXITSTATUS(status);
    return &said;
}

/* certmgr --root <place> WORDS…; the result holds until the next run. */
#define RUN(p, ...) run_words(p, "", (const char *const[]){"--root", (p)->root, __VA_ARGS__, NULL})

static inline void assert_has(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("\"%s\" is not in:\n%s", part, text);
}
