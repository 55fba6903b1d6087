/* The HTTP client of a test, its peer and its calls, for the files about it. */
#pragma once

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>

#include "base/core/clock.h"
#include "base/net/http_client.h"
#include "tests/unit/net_client/raw_server.h"

static struct cm_loop *loop;
static struct http_client *client;
static struct raw_server server;

struct call {
    struct http_call *handle, *other;
    int done, status, sys_errno, code, retry, chunks;
    size_t data_len;
    int data_rc;
    bool cancel_self, start_next;
    char body[4096], headers[2048], what[CM_ERR_TEXT_MAX], hint[CM_ERR_TEXT_MAX], ip[64];
};

static unsigned open_calls;

static inline void on_done(void *arg, const struct http_result *res)
{
    struct call *c = arg;
    c->done++;
    c->status = res->status;
    c->sys_errno = res->sys_errno;
    c->code = res->err->code;
    c->retry = (int)res->err->retry;
    assert_int_equal(strlen(res->body), res->body_len);
    cm_strcpy(c->body, sizeof(c->body), res->body);
    cm_strcpy(c->headers, sizeof(c->headers), res->headers);
    cm_strcpy(c->what, sizeof(c->what), res->err->what);
    cm_strcpy(c->hint, sizeof(c->hint), res->err->hint);
    cm_strcpy(c->ip, sizeof(c->ip), res->remote_ip);
    if (c->handle)
        http_call_cancel(c->handle); /* has no effect any more */
    if (--open_calls == 0)
        cm_loop_stop(loop);
}

static inline struct http_call_opts options(char *url, size_t size, const char *path)
{
    snprintf(url, size, "http://127.0.0.1:%d%s", server.port, path);
    return (struct http_call_opts){.url = url, .allow_http = true, .timeout_ms = 5000};
}

static inline void start(struct call *c, const struct http_call_opts *opts)
{
    struct cm_err err = CM_ERR_INIT;
    int done_before = c->done;
    c->handle = http_call(client, opts, on_done, c, &err);
    assert_string_equal(err.what, "");
    assert_non_null(c->handle);
    assert_int_equal(c->done, done_before); /* never from inside */
    open_calls++;
}

static inline void run(struct call *c, const struct http_call_opts *opts)
{
    start(c, opts);
    cm_loop_run(loop);
    assert_int_equal(c->done, 1);
}

static inline void get(struct call *c, const char *path)
{
    char url[200];
    struct http_call_opts opts = options(url, sizeof(url), path);
    memset(c, 0, sizeof(*c));
    run(c, &opts);
}

static inline int setup(void **state)
{
    (void)state;
    raw_start(&server, NULL);
    loop = cm_loop_new();
    client = http_client_new(loop);
    open_calls = 0;
    return 0;
}

static inline int teardown(void **state)
{
    (void)state;
    http_client_free(client);
    cm_loop_free(loop);
    raw_stop(&server);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
