/* Secrets are read for each delivery and wiped after; the answer is only looked at, never kept. */
#include "certmgr/notify/channel.h"

#include <string.h>

#include "base/core/clock.h"
#include "base/core/json.h"
#include "base/core/mem.h"
#include "base/net/hostname.h"
#include "base/net/smtp_client.h"
#include "base/net/url.h"
#include "certmgr/notify/secret.h"

#define WEBHOOK_REPLY_MAX (64u << 10)

struct notice_sender {
    struct cm_loop *loop;
    struct http_client *http;
    struct smtp_client *smtp;
    const struct config_notify *config;
    message_say_fn say;
    struct delivery *deliveries;
};

struct delivery {
    struct delivery *prev, *next;
    struct notice_sender *sender;
    struct http_call *call; /* of a webhook */
    struct cm_timer *fail;  /* tells a failure that came at once */
    struct cm_err err;
    notice_sent_fn done;
    void *arg;
};

static void finish(struct delivery *d, const struct cm_err *err)
{
    notice_sent_fn done = d->done;
    void *arg = d->arg;
    if (d->prev)
        d->prev->next = d->next;
    else
        d->sender->deliveries = d->next;
    if (d->next)
        d->next->prev = d->prev;
    done(arg, err);
    cm_timer_free(d->fail);
    cm_err_fini(&d->err);
    cm_free(d);
}

static void on_fail(void *arg)
{
    struct delivery *d = arg;
    finish(d, &d->err);
}

static struct message_tongue tongue_of(const struct notice_sender *sender,
                                       enum notice_channel channel)
{
    const char *language =
        channel == NOTICE_MAIL ? sender->config->mail_language : sender->config->webhook_language;
    bool english = language[0] == '\0' || strcmp(language, "en") == 0;
    return (struct message_tongue){.language = english ? "en" : language,
                                   .say = english ? NULL : sender->say};
}

/* ---- mail ------------------------------------------------------------------------------------ */

static void on_mail(void *arg, const struct cm_err *err)
{
    finish(arg, err);
}

/* Splits in place; the array points into list. */
static size_t split(char *list, const char **out, size_t max)
{
    size_t n = 0;
    for (char *p = list; n < max;) {
        p += strspn(p, " \t,");
        if (!*p)
            break;
        out[n++] = p;
        p += strcspn(p, " \t,");
        if (*p)
            *p++ = '\0';
    }
    return n;
}

static int send_mail(struct delivery *d, const json_t *message, int timeout_ms)
{
    const struct config_notify *config = d->sender->config;
    const char *to[SMTP_TO_MAX + 2] = {NULL}; /* one too many is refused by smtp_send() */
    char *password = NULL;
    int rc = 0;
    if (config->smtp_user[0])
        rc = secret_read(config->smtp_password_file, "the password of the mail relay", &password,
                         &d->err);
    if (rc != 0)
        return rc;
    struct message_tongue tongue = tongue_of(d->sender, NOTICE_MAIL);
    CM_AUTO_JSON told = message_in(message, &tongue);
    CM_AUTO_STR list = cm_strdup(config->mail_to);
    CM_AUTO_STR subject = message_subject(told, &tongue);
    CM_AUTO_STR text = message_text(told, &tongue);
    CM_AUTO_STR id = cm_asprintf("%s.certmgr@%s", cm_json_str_or(message, "id", ""),
                                 cm_json_str_or(message, "server", ""));
    split(list, to, SMTP_TO_MAX + 1);
    struct smtp_mail mail = {.url = config->smtp_url,
                             .user = config->smtp_user,
                             .password = password,
                             .ca_file = config->ca_file,
                             .from = config->mail_from,
                             .to = to,
                             .subject = subject,
                             .text = text,
                             .message_id = id,
                             .timeout_ms = timeout_ms};
    rc = smtp_send(d->sender->smtp, &mail, on_mail, d, &d->err);
    secret_free(password);
    return rc;
}

/* ---- webhook --------------------------------------------------------------------------------- */

static void on_reply(void *arg, const struct http_result *res)
{
    struct delivery *d = arg;
    d->call = NULL;
    if (res->err->code != 0) {
        cm_err_copy(&d->err, res->err);
        cm_wrap(&d->err, CM_ENET, "the webhook was not delivered");
    } else if (res->status < 200 || res->status > 299) {
        cm_fail(&d->err, CM_EPEER, "the webhook's receiver answered with status %d", res->status);
        cm_err_hint(&d->err, "Look at the log of the receiver; it must answer 2xx");
        d->err.next_attempt_ms = http_retry_after(res->headers, cm_now_ms());
    }
    finish(d, d->err.code != 0 ? &d->err : NULL);
}

static int send_webhook(struct delivery *d, const json_t *message, int timeout_ms)
{
    const struct config_notify *config = d->sender->config;
    char *secret = NULL, signature[MESSAGE_SIGNATURE_MAX];
    struct url url;
    size_t len = 0;
    int rc = url_parse(config->webhook_url, &url, &d->err);
    if (rc == 0 && !url.https && (!hostname_is_ip(url.host) || strncmp(url.host, "127.", 4) != 0))
        rc = cm_fail(&d->err, CM_EINVAL, "webhook_url: http:// is for loopback alone");
    if (rc == 0)
        rc =
            secret_read(config->webhook_secret_file, "the secret of the webhook", &secret, &d->err);
    if (rc == 0 && strlen(secret) < NOTICE_SECRET_MIN)
        rc = cm_fail(&d->err, CM_EINVAL, "the secret of the webhook is shorter than %d characters",
                     NOTICE_SECRET_MIN);
    if (rc != 0) {
        secret_free(secret);
        return rc;
    }
    struct message_tongue tongue = tongue_of(d->sender, NOTICE_WEBHOOK);
    CM_AUTO_JSON told = message_in(message, &tongue);
    CM_AUTO_STR body = cm_json_dump(told, &len);
    message_sign(secret, cm_now_ms() / 1000, body, len, signature);
    secret_free(secret);
    CM_AUTO_STR header = cm_asprintf("CertMgr-Signature: %s", signature);
    const char *headers[] = {"Content-Type: application/json", header, NULL};
    struct http_call_opts opts = {.method = "POST",
                                  .url = config->webhook_url,
                                  .headers = headers,
                                  .body = body,
                                  .body_len = len,
                                  .timeout_ms = timeout_ms,
                                  .reply_max = WEBHOOK_REPLY_MAX,
                                  .allow_http = !url.https,
                                  .ca_bundle = config->ca_file[0] ? config->ca_file : NULL};
    d->call = http_call(d->sender->http, &opts, on_reply, d, &d->err);
    return d->call ? 0 : d->err.code;
}

/* ---- public ---------------------------------------------------------------------------------- */

struct notice_sender *notice_sender_new(struct cm_loop *loop, struct http_client *http,
                                        const struct config_notify *config, message_say_fn say)
{
    struct notice_sender *sender = cm_calloc(1, sizeof(*sender));
    sender->loop = loop;
    sender->http = http;
    sender->config = config;
    sender->say = say;
    sender->smtp = smtp_client_new(loop);
    return sender;
}

void notice_sender_free(struct notice_sender *sender)
{
    if (!sender)
        return;
    smtp_client_free(sender->smtp); /* ends the mails */
    while (sender->deliveries) {
        struct delivery *d = sender->deliveries;
        if (d->call)
            http_call_cancel(d->call);
        cm_err_fini(&d->err);
        cm_fail(&d->err, CM_ECLOSED, "the delivery was ended from this side");
        finish(d, &d->err);
    }
    cm_free(sender);
}

const char *notice_channel_name(enum notice_channel channel)
{
    return channel == NOTICE_MAIL ? "mail" : "webhook";
}

bool notice_channel_on(const struct notice_sender *sender, enum notice_channel channel)
{
    return channel == NOTICE_MAIL ? sender->config->mail_to[0] : sender->config->webhook_url[0];
}

char *notice_channel_to(const struct notice_sender *sender, enum notice_channel channel)
{
    struct url url;
    char origin[300];
    if (channel == NOTICE_MAIL)
        return cm_strdup(sender->config->mail_to);
    if (url_parse(sender->config->webhook_url, &url, NULL) < 0)
        return cm_strdup("");
    url_origin(&url, origin, sizeof(origin)); /* the path may hold a token */
    return cm_strdup(origin);
}

void notice_send(struct notice_sender *sender, enum notice_channel channel, const json_t *message,
                 int timeout_ms, notice_sent_fn done, void *arg)
{
    struct delivery *d = cm_calloc(1, sizeof(*d));
    *d = (struct delivery){.sender = sender, .done = done, .arg = arg, .next = sender->deliveries};
    if (sender->deliveries)
        sender->deliveries->prev = d;
    sender->deliveries = d;
    int rc = channel == NOTICE_MAIL ? send_mail(d, message, timeout_ms)
                                    : send_webhook(d, message, timeout_ms);
    if (rc == 0)
        return;
    if (d->err.retry == CM_RETRY_NONE)
        d->err.retry = CM_RETRY_CONFIGURATION;
    d->fail = cm_timer_new(sender->loop, on_fail, d);
    cm_timer_start(d->fail, 0);
}
