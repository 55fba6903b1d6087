/* Mail: what reaches a relay byte by byte, and every way a relay can refuse it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "base/core/bytes.h"
#include "base/core/clock.h"
#include "base/core/mem.h"
#include "base/net/smtp_client.h"

/* A relay for one connection: answers each command, the DATA phase is kept as it came. */
struct relay {
    int fd, port;
    pthread_t thread;
    const char *refuse; /* command answered with 550 */
    bool silent;        /* never greets */
    bool auth;          /* offers AUTH PLAIN */
    char commands[4096];
    char data[16384];
};

static bool read_line(int fd, char *out, size_t size)
{
    size_t n = 0;
    while (n < size - 1 && read(fd, out + n, 1) == 1)
        if (out[n++] == '\n')
            break;
    out[n] = '\0';
    return n > 0;
}

static void say(int fd, const char *text)
{
    (void)!write(fd, text, strlen(text));
}

static void keep(char *to, size_t size, const char *text)
{
    size_t n = strlen(to);
    snprintf(to + n, size - n, "%s", text);
}

static void *relay_run(void *arg)
{
    struct relay *r = arg;
    char line[4096];
    int fd = accept(r->fd, NULL, NULL);
    if (fd < 0)
        return NULL; /* a client that gave up before it came */
    if (r->silent) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        poll(&p, 1, 5000);
        close(fd);
        return NULL;
    }
    say(fd, "220 relay.example ready\r\n");
    while (read_line(fd, line, sizeof(line))) {
        keep(r->commands, sizeof(r->commands), line);
        if (r->refuse && strncmp(line, r->refuse, strlen(r->refuse)) == 0) {
            say(fd, "550 5.7.1 no \x01such luck\r\n");
        } else if (strncmp(line, "EHLO", 4) == 0) {
            say(fd, r->auth ? "250-relay.example\r\n250 AUTH PLAIN\r\n" : "250 relay.example\r\n");
        } else if (strncmp(line, "AUTH", 4) == 0) {
            say(fd, "334 \r\n");
            (void)read_line(fd, line, sizeof(line));
            keep(r->commands, sizeof(r->commands), line);
            say(fd, "235 in\r\n");
        } else if (strncmp(line, "DATA", 4) == 0) {
            say(fd, "354 go\r\n");
            while (read_line(fd, line, sizeof(line)) && strcmp(line, ".\r\n") != 0)
                keep(r->data, sizeof(r->data), line);
            say(fd, "250 taken\r\n");
        } else if (strncmp(line, "QUIT", 4) == 0) {
            say(fd, "221 bye\r\n");
            break;
        } else {
            say(fd, "250 fine\r\n");
        }
    }
    close(fd);
    return NULL;
}

static void relay_start(struct relay *r)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(addr);
    r->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(r->fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    assert_int_equal(listen(r->fd, 4), 0);
    assert_int_equal(getsockname(r->fd, (struct sockaddr *)&addr, &len), 0);
    r->port = ntohs(addr.sin_port);
    assert_int_equal(pthread_create(&r->thread, NULL, relay_run, r), 0);
}

static void relay_stop(struct relay *r)
{
    shutdown(r->fd, SHUT_RDWR); /* ends an accept() that nobody answers */
    pthread_join(r->thread, NULL);
    close(r->fd);
}

struct outcome {
    bool called;
    struct cm_err err;
};

static void on_done(void *arg, const struct cm_err *err)
{
    struct outcome *o = arg;
    assert_false(o->called);
    o->called = true;
    if (err)
        cm_err_copy(&o->err, err);
}

static const char *const two[] = {"admin@example.com", "night@example.com", NULL};

static struct smtp_mail mail_to(const struct relay *r, char url[64])
{
    snprintf(url, 64, "smtp://127.0.0.1:%d", r->port);
    return (struct smtp_mail){.url = url,
                              .from = "certmgr@example.com",
                              .to = two,
                              .subject = "failed: www.example.com",
                              .text = "Order failed.\n.\nEnd\n",
                              .message_id = "01J@alpha",
                              .timeout_ms = 3000};
}

static void deliver(const struct smtp_mail *mail, struct outcome *out)
{
    struct cm_loop *loop = cm_loop_new();
    struct smtp_client *client = smtp_client_new(loop);
    struct cm_err err = CM_ERR_INIT;
    *out = (struct outcome){0};
    assert_int_equal(smtp_send(client, mail, on_done, out, &err), 0);
    assert_false(out->called); /* never from inside */
    while (!out->called)
        cm_loop_turn(loop, true);
    smtp_client_free(client);
    cm_loop_free(loop);
}

/* The base64 body part, decoded. */
static char *body_of(const struct relay *r)
{
    const char *part = strstr(r->data, "Content-Transfer-Encoding: base64\r\n");
    assert_non_null(part);
    const char *from = strstr(part, "\r\n\r\n");
    assert_non_null(from);
    const char *to = strstr(from + 4, "\r\n--");
    assert_non_null(to);
    char compact[8192];
    size_t n = 0, len = 0;
    for (const char *p = from + 4; p < to; p++)
        if (*p != '\r' && *p != '\n')
            compact[n++] = *p;
    uint8_t *out = NULL;
    assert_int_equal(cm_b64_decode(compact, n, &out, &len), 0);
    char *text = cm_strndup((char *)out, len);
    cm_free(out);
    return text;
}

static void assert_in(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("missing: %s\nin: %s", part, text);
}

static void test_arrives(void **state)
{
    (void)state;
    struct relay r = {0};
    struct outcome o;
    char url[64];
    cm_clock_fake(1795313802123, 1000); /* 2026-11-22T02:16:42.123Z */
    relay_start(&r);
    struct smtp_mail mail = mail_to(&r, url);
    deliver(&mail, &o);
    relay_stop(&r);
    cm_clock_fake(-1, -1);
    assert_string_equal(o.err.what, "");
    assert_in(r.commands, "MAIL FROM:<certmgr@example.com>");
    assert_in(r.commands, "RCPT TO:<admin@example.com>\r\nRCPT TO:<night@example.com>\r\n");
    assert_null(strstr(r.commands, "AUTH"));
    assert_in(r.data, "To: <admin@example.com>,\r\n <night@example.com>\r\n");
    assert_in(r.data, "From: CertMgr <certmgr@example.com>\r\n");
    assert_in(r.data, "Subject: failed: www.example.com\r\n");
    assert_in(r.data, "Date: 22 Nov 2026 02:16:42 +0000\r\n");
    assert_in(r.data, "Message-ID: <01J@alpha>\r\n");
    assert_in(r.data, "Auto-Submitted: auto-generated\r\n");
    assert_in(r.data, "text/plain; charset=utf-8");
    CM_AUTO_STR body = body_of(&r);
    assert_string_equal(body, "Order failed.\n.\nEnd\n");
    assert_in(r.commands, "QUIT"); /* no connection is left to the relay */
}

static void test_unicode(void **state)
{
    (void)state;
    struct relay r = {0};
    struct outcome o;
    char url[64];
    relay_start(&r);
    struct smtp_mail mail = mail_to(&r, url);
    mail.subject = "証明書の注文に失敗しました: www.例え.jp\r\nBcc: evil@example.com";
    mail.text = "名前 www.例え.jp\n";
    deliver(&mail, &o);
    relay_stop(&r);
    assert_string_equal(o.err.what, "");
    assert_in(r.data, "Subject: =?UTF-8?B?");
    assert_null(strstr(r.data, "\nBcc:"));
    CM_AUTO_STR body = body_of(&r);
    assert_string_equal(body, "名前 www.例え.jp\n");
}

/* Each encoded word holds whole characters, and together they are the text again. */
static void test_header_words(void **state)
{
    (void)state;
    const char *text = "aé漢字😀 plain and 日本語の長い件名がここに続きます、とても長いのです。";
    struct cm_buf out;
    char again[400] = "";
    cm_buf_init(&out, 4096);
    smtp_header_text(&out, text);
    for (const char *p = cm_buf_str(&out); (p = strstr(p, "=?UTF-8?B?")) != NULL;) {
        const char *end = strstr(p + 10, "?=");
        uint8_t *bytes = NULL;
        size_t len = 0;
        assert_non_null(end);
        assert_true(end + 2 - p <= 75);
        assert_int_equal(cm_b64_decode(p + 10, (size_t)(end - p - 10), &bytes, &len), 0);
        assert_true(((unsigned char)bytes[0] & 0xc0) != 0x80);
        CM_AUTO_STR word = cm_strndup((char *)bytes, len);
        keep(again, sizeof(again), word);
        cm_free(bytes);
        p = end;
    }
    assert_string_equal(again, text);
    cm_buf_reset(&out);
    smtp_header_text(&out, "plain words");
    assert_string_equal(cm_buf_str(&out), "plain words");
    cm_buf_reset(&out);
    smtp_header_text(&out, "=?looks encoded?="); /* must not be taken for an encoded word */
    assert_in(cm_buf_str(&out), "=?UTF-8?B?PT9sb29r");
    cm_buf_fini(&out);
}

static void test_login(void **state)
{
    (void)state;
    struct relay r = {.auth = true};
    struct outcome o;
    char url[64];
    relay_start(&r);
    struct smtp_mail mail = mail_to(&r, url);
    mail.user = "cm";
    mail.password = "s3cret";
    deliver(&mail, &o);
    relay_stop(&r);
    assert_string_equal(o.err.what, "");
    CM_AUTO_STR plain = cm_b64("\0cm\0s3cret", 10);
    assert_in(r.commands, "AUTH PLAIN");
    assert_in(r.commands, plain);
}

static void test_refusals(void **state)
{
    (void)state;
    static const char *const refuse[] = {"" /* all */, "MAIL", "RCPT", "DATA"};
    for (size_t i = 0; i < sizeof(refuse) / sizeof(refuse[0]); i++) {
        struct relay r = {.refuse = refuse[i]};
        struct outcome o;
        char url[64], line[1200];
        relay_start(&r);
        struct smtp_mail mail = mail_to(&r, url);
        deliver(&mail, &o);
        relay_stop(&r);
        assert_int_not_equal(o.err.code, 0);
        assert_in(o.err.what, "mail relay 127.0.0.1 port");
        cm_err_line(&o.err, line, sizeof(line));
        assert_in(line, "550 5.7.1 no  such luck");
        assert_true(o.err.hint[0] != '\0');
        cm_err_fini(&o.err);
    }
}

static void test_silent_relay(void **state)
{
    (void)state;
    struct relay r = {.silent = true};
    struct outcome o;
    char url[64];
    relay_start(&r);
    struct smtp_mail mail = mail_to(&r, url);
    mail.timeout_ms = 200;
    deliver(&mail, &o);
    relay_stop(&r);
    assert_int_equal(o.err.code, CM_ETIMEOUT);
    assert_in(o.err.what, "no complete answer within 200 ms");
    cm_err_fini(&o.err);
}

/* Freed while one delivery runs and another waits: both are told, once. */
static void test_free_while_running(void **state)
{
    (void)state;
    struct relay r = {.silent = true};
    struct outcome o = {0}, waiting = {0};
    char url[64];
    relay_start(&r);
    struct smtp_mail mail = mail_to(&r, url);
    struct cm_loop *loop = cm_loop_new();
    struct smtp_client *client = smtp_client_new(loop);
    assert_int_equal(smtp_send(client, &mail, on_done, &o, NULL), 0);
    for (int i = 0; i < 20; i++)
        cm_loop_turn(loop, false);
    assert_int_equal(smtp_send(client, &mail, on_done, &waiting, NULL), 0);
    smtp_client_free(client);
    assert_true(o.called);
    assert_int_equal(o.err.code, CM_ECLOSED);
    assert_int_equal(waiting.err.code, CM_ECLOSED);
    for (int i = 0; i < 2000 && cm_loop_uv(loop)->active_reqs.count > 0; i++) {
        cm_loop_turn(loop, false); /* the worker notices within a second, loaded or not */
        usleep(10000);
    }
    assert_int_equal(cm_loop_uv(loop)->active_reqs.count, 0);
    cm_loop_free(loop);
    relay_stop(&r);
    cm_err_fini(&o.err);
    cm_err_fini(&waiting.err);
}

/* Nothing leaves in the clear but to loopback: a relay there without STARTTLS gets no mail.  (The
 * mapped address leads to the same relay, but is no address of loopback by name.) */
static void test_tls_demanded(void **state)
{
    (void)state;
    static const char *const urls[] = {"smtps://127.0.0.1", "smtp://[::ffff:127.0.0.1]"};
    for (size_t i = 0; i < 2; i++) {
        struct relay r = {0};
        struct outcome o;
        char url[64];
        relay_start(&r);
        struct smtp_mail mail = mail_to(&r, url);
        snprintf(url, sizeof(url), "%s:%d", urls[i], r.port);
        mail.user = "cm";
        mail.password = "s3cret";
        deliver(&mail, &o);
        relay_stop(&r);
        assert_int_not_equal(o.err.code, 0);
        if (i == 1)
            assert_in(o.err.what, "it offers no TLS");
        assert_null(strstr(r.commands, "MAIL"));
        assert_null(strstr(r.commands, "AUTH"));
        assert_string_equal(r.data, "");
        cm_err_fini(&o.err);
    }
}

/* One after the other; a queue that is full says so. */
static void test_queue(void **state)
{
    (void)state;
    struct relay r = {.silent = true};
    struct outcome o[SMTP_QUEUE_MAX + 1] = {0}, none = {0};
    struct cm_err err = CM_ERR_INIT;
    char url[64];
    relay_start(&r);
    struct smtp_mail mail = mail_to(&r, url);
    mail.timeout_ms = 100;
    struct cm_loop *loop = cm_loop_new();
    struct smtp_client *client = smtp_client_new(loop);
    for (size_t i = 0; i <= SMTP_QUEUE_MAX; i++)
        assert_int_equal(smtp_send(client, &mail, on_done, &o[i], NULL), 0);
    assert_int_equal(smtp_send(client, &mail, on_done, &none, &err), CM_EBUSY);
    while (!o[SMTP_QUEUE_MAX].called)
        cm_loop_turn(loop, true);
    for (size_t i = 0; i <= SMTP_QUEUE_MAX; i++) {
        assert_true(o[i].called);
        assert_int_equal(o[i].err.code, CM_ETIMEOUT);
        cm_err_fini(&o[i].err);
    }
    assert_false(none.called);
    smtp_client_free(client);
    cm_loop_free(loop);
    relay_stop(&r);
    cm_err_fini(&err);
}

static void test_never_sent(void **state)
{
    (void)state;
    static const char *const none[] = {NULL};
    static const char *const bad[] = {"a@b>\r\nX: y", NULL};
    const char *many[SMTP_TO_MAX + 2] = {0};
    struct relay r = {.port = 25};
    char url[64], *long_text = cm_calloc(1, SMTP_TEXT_MAX + 2);
    memset(long_text, 'x', SMTP_TEXT_MAX + 1);
    for (size_t i = 0; i <= SMTP_TO_MAX; i++)
        many[i] = "a@example.com";
    struct smtp_mail base = mail_to(&r, url);
    struct smtp_mail rows[] = {base, base, base, base, base, base, base, base};
    rows[0].url = "http://127.0.0.1:25";
    rows[1].url = "smtp://user:pw@127.0.0.1";
    rows[2].url = "smtp://127.0.0.1/path";
    rows[3].to = none;
    rows[4].to = bad;
    rows[5].to = many;
    rows[6].from = "no address";
    rows[7].text = long_text;
    struct cm_loop *loop = cm_loop_new();
    struct smtp_client *client = smtp_client_new(loop);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct outcome o = {0};
        struct cm_err err = CM_ERR_INIT;
        assert_true(smtp_send(client, &rows[i], on_done, &o, &err) < 0);
        assert_true(err.what[0] != '\0');
        assert_false(o.called);
        cm_err_fini(&err);
    }
    smtp_client_free(client);
    cm_loop_free(loop);
    cm_free(long_text);
}

static void test_addresses(void **state)
{
    (void)state;
    char longest[SMTP_ADDRESS_MAX + 2];
    memset(longest, 'a', sizeof(longest));
    longest[sizeof(longest) - 1] = '\0';
    longest[1] = '@';
    assert_true(smtp_address_ok("admin+cert@mail.example.com"));
    assert_true(smtp_address_ok("root@localhost"));
    static const char *const bad[] = {"",      "admin",   "@x",    "a@",      "a@b@c",
                                      "a b@c", "a@b,c@d", "<a@b>", "a@b\r\n", "ä@b"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(smtp_address_ok(bad[i]));
    assert_false(smtp_address_ok(longest));
    longest[SMTP_ADDRESS_MAX] = '\0';
    assert_true(smtp_address_ok(longest));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arrives),      cmocka_unit_test(test_unicode),
        cmocka_unit_test(test_header_words), cmocka_unit_test(test_login),
        cmocka_unit_test(test_refusals),     cmocka_unit_test(test_silent_relay),
        cmocka_unit_test(test_tls_demanded), cmocka_unit_test(test_free_while_running),
        cmocka_unit_test(test_never_sent),   cmocka_unit_test(test_queue),
        cmocka_unit_test(test_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
