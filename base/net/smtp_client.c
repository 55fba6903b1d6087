/*
 * Mail by libcurl (RFC 5321, 3207, 4616): options, header lines, failures in words.
 *
 * The header of a message is ours (RFC 5322 needs Date, From, To, Message-ID); libcurl would let
 * line ends in, so every text is cleaned or checked before it becomes a line.
 */
#include "base/net/smtp_client.h"

#include <curl/curl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/core/bytes.h"
#include "base/core/clock.h"
#include "base/core/mem.h"
#include "base/core/utf8.h"
#include "base/net/hostname.h"
#include "base/net/url.h"

#define CONNECT_TIMEOUT_MS 10000
#define WORD_BYTES         42 /* of one encoded word: 75 characters at most (RFC 2047 2) */

struct smtp_client {
    struct cm_loop *loop;
    struct smtp_job *first, **end; /* the first one is under way */
    size_t count;
};

struct smtp_job {
    struct smtp_job *next;
    struct smtp_client *client; /* NULL: freed meanwhile */
    CURL *easy;
    curl_mime *mime;
    struct curl_slist *headers, *to;
    smtp_done_fn done;
    void *arg;
    char host[256];
    int port, timeout_ms;
    char why[CURL_ERROR_SIZE];
    char refusal[300]; /* the relay's last 4xx or 5xx line */
    CURLcode rc;
    atomic_bool abort; /* the worker is to end */
};

/* ---- texts ----------------------------------------------------------------------------------- */

bool smtp_address_ok(const char *address)
{
    const char *at = strchr(address, '@');
    size_t len = strlen(address);
    if (!at || at == address || !at[1] || strchr(at + 1, '@') || len > SMTP_ADDRESS_MAX)
        return false;
    for (const char *p = address; *p; p++)
        if (*p <= ' ' || *p >= 0x7f || strchr("<>(),;:\"\\", *p))
            return false;
    return true;
}

static bool is_plain(const char *text)
{
    for (const char *p = text; *p; p++)
        if (*p < ' ' || *p >= 0x7f)
            return false;
    return !strstr(text, "=?") && strlen(text) <= 900; /* a line holds 998 (RFC 5322 2.1.1) */
}

void smtp_header_text(struct cm_buf *out, const char *text)
{
    if (is_plain(text)) {
        cm_buf_puts(out, text);
        return;
    }
    for (const char *p = text; *p;) {
        size_t n = strnlen(p, WORD_BYTES);
        while (p[n] && n > 1 && ((unsigned char)p[n] & 0xc0) == 0x80)
            n--; /* back to the first byte of a character */
        CM_AUTO_STR word = cm_b64(p, n);
        cm_buf_printf(out, "%s=?UTF-8?B?%s?=", p == text ? "" : "\r\n ", word);
        p += n;
    }
}

/* Cut at a character, control bytes as blanks. */
static char *clean_subject(const char *text)
{
    char *out = cm_strndup(text, SMTP_SUBJECT_MAX);
    cm_utf8_trim(out);
    for (char *p = out; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            *p = ' ';
    return out;
}

/* "22 Nov 2026 02:16:42 +0000" (RFC 5322 3.3; the day of the week is optional). */
static void rfc5322_date(char *out, size_t size)
{
    static const char *const month[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                        "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    char now[CM_TIME_TEXT]; /* YYYY-MM-DDTHH:MM:SS.mmmZ */
    cm_time_format(cm_now_ms(), now);
    int m = (now[5] - '0') * 10 + (now[6] - '0');
    snprintf(out, size, "%.2s %s %.4s %.8s +0000", now + 8, month[(m + 11) % 12], now, now + 11);
}

/* ---- one delivery ---------------------------------------------------------------------------- */

static void job_free(struct smtp_job *job)
{
    curl_easy_cleanup(job->easy);
    curl_mime_free(job->mime);
    curl_slist_free_all(job->headers);
    curl_slist_free_all(job->to);
    cm_free(job);
}

static const struct {
    CURLcode curl;
    int code;
    enum cm_retry retry;
    const char *what, *hint;
} reasons[] = {
    {CURLE_COULDNT_RESOLVE_HOST, CM_ENET, CM_RETRY_TRANSIENT, "the name cannot be resolved",
     "check smtp_url and the resolver of this server"},
    {CURLE_COULDNT_CONNECT, CM_ENET, CM_RETRY_TRANSIENT, "no connection is possible",
     "check that the mail relay runs there and that no firewall is in the way"},
    {CURLE_OPERATION_TIMEDOUT, CM_ETIMEOUT, CM_RETRY_TRANSIENT, "no complete answer in time",
     "check that the mail relay runs there and that no firewall is in the way"},
    {CURLE_PEER_FAILED_VERIFICATION, CM_EDENIED, CM_RETRY_CONFIGURATION,
     "its TLS certificate is not trusted",
     "check the host name in smtp_url and the CAs in ca_file"},
    {CURLE_USE_SSL_FAILED, CM_EDENIED, CM_RETRY_CONFIGURATION, "it offers no TLS",
     "mail leaves this machine only through TLS: use a relay that offers STARTTLS, or smtps://"},
    {CURLE_SSL_CONNECT_ERROR, CM_ENET, CM_RETRY_TRANSIENT, "the TLS handshake failed",
     "check that smtps:// is used for a port that speaks TLS from the first byte, smtp:// else"},
    {CURLE_SSL_CACERT_BADFILE, CM_EINVAL, CM_RETRY_CONFIGURATION, "the CA file cannot be read",
     "check path and permissions of ca_file"},
    {CURLE_LOGIN_DENIED, CM_EDENIED, CM_RETRY_CONFIGURATION, "it refuses the login",
     "check smtp_user and the password in smtp_password_file"},
    {CURLE_SEND_ERROR, CM_EPEER, CM_RETRY_TRANSIENT, "it refuses the mail",
     "check mail_from, mail_to and the log of the relay"},
    {CURLE_WEIRD_SERVER_REPLY, CM_EPEER, CM_RETRY_TRANSIENT, "the answer is not SMTP",
     "check that the port in smtp_url is the one of the mail relay"},
};

static void explain(const struct smtp_job *job, CURLcode rc, struct cm_err *err)
{
    size_t i = 0;
    while (i < sizeof(reasons) / sizeof(reasons[0]) && reasons[i].curl != rc)
        i++;
    bool known = i < sizeof(reasons) / sizeof(reasons[0]);
    if (rc == CURLE_OPERATION_TIMEDOUT)
        cm_fail(err, CM_ETIMEOUT, "mail relay %s port %d: no complete answer within %d ms",
                job->host, job->port, job->timeout_ms);
    else
        cm_fail(err, known ? reasons[i].code : CM_EPEER, "mail relay %s port %d: %s", job->host,
                job->port, known ? reasons[i].what : "the mail was not delivered");
    cm_err_cause(err, "%s", job->why[0] ? job->why : curl_easy_strerror(rc));
    if (job->refusal[0])
        cm_err_cause(err, "the relay said: %s", job->refusal);
    cm_err_hint(err, "%s", known ? reasons[i].hint : "check the log of the mail relay");
    cm_err_object(err, "mail relay %s", job->host);
    err->retry = known ? reasons[i].retry : CM_RETRY_TRANSIENT;
}

/* On the worker thread. */
static void work(void *arg)
{
    struct smtp_job *job = arg;
    job->rc = curl_easy_perform(job->easy);
}

static int on_progress(void *arg, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    struct smtp_job *job = arg;
    (void)a, (void)b, (void)c, (void)d;
    return atomic_load(&job->abort) ? 1 : 0;
}

static void on_worked(void *arg);

static void start_first(struct smtp_client *client)
{
    if (client->first)
        cm_loop_work(client->loop, work, on_worked, client->first);
}

static void on_worked(void *arg)
{
    struct smtp_job *job = arg;
    struct smtp_client *client = job->client;
    struct cm_err err = CM_ERR_INIT;
    if (!client) {
        job_free(job);
        return;
    }
    if (job->rc != CURLE_OK)
        explain(job, job->rc, &err);
    client->first = job->next;
    if (!client->first)
        client->end = &client->first;
    client->count--;
    start_first(client);
    smtp_done_fn done = job->done;
    void *done_arg = job->arg;
    job_free(job);
    done(done_arg, err.code != 0 ? &err : NULL);
    cm_err_fini(&err);
}

/* ---- options --------------------------------------------------------------------------------- */

/* libcurl hands the relay's replies over as headers. */
static size_t on_curl_reply(char *data, size_t one, size_t len, void *arg)
{
    struct smtp_job *job = arg;
    (void)one;
    if (len == 0 || (data[0] != '4' && data[0] != '5'))
        return len;
    size_t n = len < sizeof(job->refusal) - 1 ? len : sizeof(job->refusal) - 1;
    memcpy(job->refusal, data, n);
    job->refusal[n] = '\0';
    for (char *p = job->refusal; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            *p = ' ';
    cm_utf8_fix(job->refusal);
    while (n > 0 && job->refusal[n - 1] == ' ')
        job->refusal[--n] = '\0';
    return len;
}

/* Allocation inside libcurl is all that can fail for the options set here. */
#define SET(job, option, value)                                                                    \
    CM_BUG_ON(curl_easy_setopt((job)->easy, CURLOPT_##option, value) != CURLE_OK)

static void add_line(struct curl_slist **list, const char *line)
{
    struct curl_slist *longer = curl_slist_append(*list, line);
    CM_BUG_ON(!longer);
    *list = longer;
}

static bool is_loopback(const char *host)
{
    return strcmp(host, "localhost") == 0 || strcmp(host, "::1") == 0 ||
           (hostname_is_ip(host) && strncmp(host, "127.", 4) == 0);
}

/* smtp(s)://host[:port]: the part behind the scheme is read as an https URL's. */
static int parse_url(struct smtp_job *job, const char *text, bool *ret_tls, struct cm_err *err)
{
    struct url url;
    *ret_tls = strncmp(text, "smtps://", 8) == 0;
    if (!*ret_tls && strncmp(text, "smtp://", 7) != 0)
        return cm_fail(err, CM_EINVAL, "\"%.200s\" is no smtp:// or smtps:// URL", text);
    CM_AUTO_STR as_https = cm_asprintf("https%s", strchr(text, ':'));
    if (url_parse(as_https, &url, NULL) < 0 || strcmp(url.path, "/") != 0)
        return cm_fail(err, CM_EINVAL, "\"%.200s\" is not smtp://HOST:PORT", text);
    bool has_port = url.port != 443 || strstr(text, ":443") != NULL;
    job->port = has_port ? url.port : *ret_tls ? 465 : 25;
    (void)cm_strcpy(job->host, sizeof(job->host), url.host);
    return 0;
}

static int set_relay(struct smtp_job *job, const struct smtp_mail *mail, struct cm_err *err)
{
    bool tls;
    int rc = parse_url(job, mail->url, &tls, err);
    if (rc < 0)
        return rc;
    bool v6 = strchr(job->host, ':') != NULL;
    CM_AUTO_STR url = cm_asprintf("%s://%s%s%s:%d", tls ? "smtps" : "smtp", v6 ? "[" : "",
                                  job->host, v6 ? "]" : "", job->port);
    SET(job, URL, url);
    SET(job, PROTOCOLS_STR, "smtp,smtps");
    SET(job, USE_SSL, (long)(tls || !is_loopback(job->host) ? CURLUSESSL_ALL : CURLUSESSL_NONE));
    SET(job, SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (mail->ca_file && mail->ca_file[0]) {
        SET(job, CAINFO, mail->ca_file);
        SET(job, CAPATH, NULL); /* else the system's directory would count as well */
    }
    if (mail->user && mail->user[0]) {
        SET(job, USERNAME, mail->user);
        SET(job, PASSWORD, mail->password ? mail->password : "");
    }
    job->timeout_ms = mail->timeout_ms > 0 ? mail->timeout_ms : SMTP_TIMEOUT_MS;
    SET(job, TIMEOUT_MS, (long)job->timeout_ms);
    SET(job, CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS);
    SET(job, SERVER_RESPONSE_TIMEOUT, (long)(job->timeout_ms / 1000 + 1));
    return 0;
}

static int set_people(struct smtp_job *job, const struct smtp_mail *mail, struct cm_err *err)
{
    struct cm_buf line;
    if (!mail->from || !smtp_address_ok(mail->from))
        return cm_fail(err, CM_EINVAL, "\"%.100s\" is not a mail address",
                       mail->from ? mail->from : "");
    cm_buf_init(&line, SMTP_TO_MAX * (SMTP_ADDRESS_MAX + 10));
    cm_buf_puts(&line, "To: ");
    size_t n = 0;
    for (; mail->to && mail->to[n]; n++) {
        if (n == SMTP_TO_MAX || !smtp_address_ok(mail->to[n])) {
            cm_buf_fini(&line);
            return cm_fail(err, n == SMTP_TO_MAX ? CM_ELIMIT : CM_EINVAL,
                           n == SMTP_TO_MAX ? "mail goes to at most 16 addresses (\"%.100s\")"
                                            : "\"%.100s\" is not a mail address",
                           mail->to[n]);
        }
        add_line(&job->to, mail->to[n]);
        cm_buf_printf(&line, "%s<%s>", n ? ",\r\n " : "", mail->to[n]);
    }
    add_line(&job->headers, cm_buf_str(&line));
    cm_buf_fini(&line);
    if (n == 0)
        return cm_fail(err, CM_EINVAL, "the mail has no recipient");
    CM_AUTO_STR from = cm_asprintf("<%s>", mail->from);
    CM_AUTO_STR header = cm_asprintf("From: CertMgr <%s>", mail->from);
    add_line(&job->headers, header);
    SET(job, MAIL_FROM, from);
    SET(job, MAIL_RCPT, job->to);
    SET(job, MAIL_RCPT_ALLLOWFAILS, 1L); /* one address that is gone must not silence the others */
    return 0;
}

static void set_headers(struct smtp_job *job, const struct smtp_mail *mail)
{
    char date[64];
    struct cm_buf line;
    rfc5322_date(date, sizeof(date));
    CM_AUTO_STR date_line = cm_asprintf("Date: %s", date);
    add_line(&job->headers, date_line);
    CM_AUTO_STR subject = clean_subject(mail->subject);
    cm_buf_init(&line, 4 * SMTP_SUBJECT_MAX);
    cm_buf_puts(&line, "Subject: ");
    smtp_header_text(&line, subject);
    add_line(&job->headers, cm_buf_str(&line));
    cm_buf_fini(&line);
    if (mail->message_id && smtp_address_ok(mail->message_id)) {
        CM_AUTO_STR id = cm_asprintf("Message-ID: <%s>", mail->message_id);
        add_line(&job->headers, id);
    }
    add_line(&job->headers, "Auto-Submitted: auto-generated"); /* RFC 3834 */
    SET(job, HTTPHEADER, job->headers);
}

static void set_body(struct smtp_job *job, const char *text)
{
    job->mime = curl_mime_init(job->easy);
    curl_mimepart *part = job->mime ? curl_mime_addpart(job->mime) : NULL;
    CM_BUG_ON(!part || curl_mime_data(part, text, CURL_ZERO_TERMINATED) != CURLE_OK ||
              curl_mime_type(part, "text/plain; charset=utf-8") != CURLE_OK ||
              curl_mime_encoder(part, "base64") != CURLE_OK);
    SET(job, MIMEPOST, job->mime);
}

/* ---- public ---------------------------------------------------------------------------------- */

struct smtp_client *smtp_client_new(struct cm_loop *loop)
{
    static bool ready;
    if (!ready)
        CM_BUG_ON(curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK);
    ready = true;
    struct smtp_client *client = cm_calloc(1, sizeof(*client));
    client->loop = loop;
    client->end = &client->first;
    return client;
}

void smtp_client_free(struct smtp_client *client)
{
    bool running = true;
    if (!client)
        return;
    while (client->first) {
        struct smtp_job *job = client->first;
        struct cm_err err = CM_ERR_INIT;
        client->first = job->next;
        cm_fail(&err, CM_ECLOSED, "mail relay %s: the delivery was ended from this side",
                job->host);
        smtp_done_fn done = job->done;
        void *arg = job->arg;
        if (running) {
            job->client = NULL; /* the worker still has it */
            atomic_store(&job->abort, true);
        } else {
            job_free(job);
        }
        running = false;
        done(arg, &err);
        cm_err_fini(&err);
    }
    cm_free(client);
}

static void set_common(struct smtp_job *job)
{
    SET(job, ERRORBUFFER, job->why);
    SET(job, HEADERFUNCTION, on_curl_reply);
    SET(job, HEADERDATA, job);
    SET(job, XFERINFOFUNCTION, on_progress);
    SET(job, XFERINFODATA, job);
    SET(job, NOPROGRESS, 0L);
    SET(job, NOSIGNAL, 1L);
    SET(job, PROXY, ""); /* the environment does not decide where mail goes */
}

int smtp_send(struct smtp_client *client, const struct smtp_mail *mail, smtp_done_fn done,
              void *arg, struct cm_err *err)
{
    if (strlen(mail->text) > SMTP_TEXT_MAX || !cm_utf8_ok(mail->text, strlen(mail->text)) ||
        !cm_utf8_ok(mail->subject, strlen(mail->subject)))
        return cm_fail(err, CM_ELIMIT, "the mail is not UTF-8 text of at most %u KiB",
                       SMTP_TEXT_MAX >> 10);
    if (client->count > SMTP_QUEUE_MAX)
        return cm_fail(err, CM_EBUSY, "%d mails are waiting for the relay", SMTP_QUEUE_MAX);
    struct smtp_job *job = cm_calloc(1, sizeof(*job));
    job->client = client;
    job->done = done;
    job->arg = arg;
    job->easy = curl_easy_init();
    CM_BUG_ON(!job->easy);
    set_common(job);
    int rc = set_relay(job, mail, err);
    if (rc == 0)
        rc = set_people(job, mail, err);
    if (rc < 0) {
        job_free(job);
        return rc;
    }
    set_headers(job, mail);
    set_body(job, mail->text);
    *client->end = job;
    client->end = &job->next;
    if (++client->count == 1)
        start_first(client);
    return 0;
}
