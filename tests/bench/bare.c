/*
 * The yardstick: an ACME client with nothing but the protocol.  One process, one loop, many orders
 * in flight, challenge files written for a web server; it stores nothing, checks nothing and knows
 * only the good path.  What CertMgr needs more than this is the price of what it does more.
 */
#include <curl/curl.h>
#include <getopt.h>
#include <jansson.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define NONCES_MAX 4096
#define NAMES_MAX  100
#define TEXT_MAX   8192
#define IN_FLIGHT  1000

enum step { NEW_ORDER, AUTHZ, CHALLENGE, POLL_READY, FINALIZE, POLL_VALID, DOWNLOAD, DONE };

struct buf {
    char *data;
    size_t len;
};

struct order {
    CURL *easy;
    struct curl_slist *headers;
    struct buf reply;
    enum step step;
    int number, index;
    long status;
    char nonce[256], payload[TEXT_MAX], url[512], finalize[512], order_url[512], location[512];
    char *authz[NAMES_MAX], *challenge[NAMES_MAX], *body;
    bool nonce_only;
    double due; /* when a poll is sent; 0 = not waiting */
};

static struct {
    const char *directory, *ca, *webroot, *prefix;
    int count, in_flight, names;
    double pause;
} opt = {.count = 100, .in_flight = 8, .names = 1, .pause = 0.002, .prefix = "bare"};

static char new_nonce[512], new_account[512], new_order[512], kid[512], thumbprint[64];
static char *nonces[NONCES_MAX];
static int nonce_count, started, done_count, running;
static long requests;
static EVP_PKEY *account_key;
static char jwk[256];
static CURLM *multi;

static void die(const char *what)
{
    fprintf(stderr, "bare: %s\n", what);
    exit(1);
}

static double now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static char *base64url(const void *data, size_t len)
{
    char *out = malloc((len + 2) / 3 * 4 + 1);
    int n = EVP_EncodeBlock((unsigned char *)out, data, (int)len);
    for (int i = 0; i < n; i++)
        out[i] = out[i] == '+' ? '-' : out[i] == '/' ? '_' : out[i];
    while (n > 0 && out[n - 1] == '=')
        n--;
    out[n] = '\0';
    return out;
}

static char *sign_jws(const char *url, const char *nonce, const char *payload)
{
    char head[2048];
    unsigned char der[128];
    unsigned char raw[64];
    size_t der_len = sizeof(der);
    snprintf(head, sizeof(head), "{\"alg\":\"ES256\",%s%s%s,\"nonce\":\"%s\",\"url\":\"%s\"}",
             kid[0] ? "\"kid\":\"" : "\"jwk\":", kid[0] ? kid : jwk, kid[0] ? "\"" : "", nonce,
             url);
    char *protected = base64url(head, strlen(head)), *text = base64url(payload, strlen(payload));
    size_t len = strlen(protected) + strlen(text) + 2;
    char *input = malloc(len);
    snprintf(input, len, "%s.%s", protected, text);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, account_key) != 1 ||
        EVP_DigestSign(ctx, der, &der_len, (unsigned char *)input, len - 1) != 1)
        die("cannot sign");
    EVP_MD_CTX_free(ctx);
    const unsigned char *at = der;
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &at, (long)der_len);
    BN_bn2binpad(ECDSA_SIG_get0_r(sig), raw, 32);
    BN_bn2binpad(ECDSA_SIG_get0_s(sig), raw + 32, 32);
    ECDSA_SIG_free(sig);
    char *signature = base64url(raw, sizeof(raw));
    len = strlen(protected) + strlen(text) + strlen(signature) + 64;
    char *out = malloc(len);
    snprintf(out, len, "{\"protected\":\"%s\",\"payload\":\"%s\",\"signature\":\"%s\"}", protected,
             text, signature);
    free(protected);
    free(text);
    free(signature);
    free(input);
    return out;
}

static void make_account_key(void)
{
    unsigned char point[65];
    unsigned char digest[32];
    size_t len = 0;
    account_key = EVP_EC_gen("P-256");
    if (!account_key ||
        EVP_PKEY_get_octet_string_param(account_key, "pub", point, sizeof(point), &len) != 1 ||
        len != sizeof(point))
        die("cannot make a key");
    char *x = base64url(point + 1, 32), *y = base64url(point + 33, 32);
    snprintf(jwk, sizeof(jwk), "{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"%s\",\"y\":\"%s\"}", x,
             y);
    SHA256((unsigned char *)jwk, strlen(jwk), digest);
    char *print = base64url(digest, sizeof(digest));
    snprintf(thumbprint, sizeof(thumbprint), "%s", print);
    free(x);
    free(y);
    free(print);
}

static void name_of(const struct order *o, int i, char *out, size_t size)
{
    snprintf(out, size, "%s%d-%d.bench.example", opt.prefix, o->number, i);
}

/* ---- one request ---------------------------------------------------------------------------- */

static size_t on_data(char *data, size_t one, size_t len, void *arg)
{
    struct buf *buf = arg;
    (void)one;
    buf->data = realloc(buf->data, buf->len + len + 1);
    memcpy(buf->data + buf->len, data, len);
    buf->len += len;
    buf->data[buf->len] = '\0';
    return len;
}

static void take(const char *line, size_t len, const char *name, char *out, size_t size)
{
    size_t n = strlen(name);
    if (len <= n || strncasecmp(line, name, n) != 0)
        return;
    while (n < len && line[n] == ' ')
        n++;
    while (len > n && (line[len - 1] == '\n' || line[len - 1] == '\r'))
        len--;
    snprintf(out, size, "%.*s", (int)(len - n), line + n);
}

static size_t on_header(char *line, size_t one, size_t len, void *arg)
{
    struct order *o = arg;
    char nonce[256] = "";
    (void)one;
    take(line, len, "replay-nonce:", nonce, sizeof(nonce));
    if (nonce[0] && nonce_count < NONCES_MAX)
        nonces[nonce_count++] = strdup(nonce);
    take(line, len, "location:", o->location, sizeof(o->location));
    return len;
}

static void set_up(struct order *o)
{
    o->easy = curl_easy_init();
    o->headers = curl_slist_append(NULL, "Content-Type: application/jose+json");
    o->headers = curl_slist_append(o->headers, "Expect:");
    curl_easy_setopt(o->easy, CURLOPT_CAINFO, opt.ca);
    curl_easy_setopt(o->easy, CURLOPT_PRIVATE, o);
    curl_easy_setopt(o->easy, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(o->easy, CURLOPT_WRITEDATA, &o->reply);
    curl_easy_setopt(o->easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(o->easy, CURLOPT_HEADERDATA, o);
    curl_easy_setopt(o->easy, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_2TLS);
    curl_easy_setopt(o->easy, CURLOPT_PIPEWAIT, 1L);
    curl_easy_setopt(o->easy, CURLOPT_HTTPHEADER, o->headers);
    curl_easy_setopt(o->easy, CURLOPT_TIMEOUT, 60L);
}

static void begin(struct order *o)
{
    if (!o->easy)
        set_up(o);
    o->reply.len = 0;
    free(o->body);
    o->body = NULL;
    o->nonce_only = nonce_count == 0;
    if (o->nonce_only) {
        curl_easy_setopt(o->easy, CURLOPT_NOBODY, 1L);
        curl_easy_setopt(o->easy, CURLOPT_URL, new_nonce);
    } else {
        char *nonce = nonces[--nonce_count];
        o->body = sign_jws(o->url, nonce, o->payload);
        free(nonce);
        curl_easy_setopt(o->easy, CURLOPT_NOBODY, 0L);
        curl_easy_setopt(o->easy, CURLOPT_POST, 1L);
        curl_easy_setopt(o->easy, CURLOPT_POSTFIELDS, o->body);
        curl_easy_setopt(o->easy, CURLOPT_URL, o->url);
    }
    requests++;
    running++;
    curl_multi_add_handle(multi, o->easy);
}

static void ask(struct order *o, const char *url, const char *payload)
{
    if (url != o->url)
        snprintf(o->url, sizeof(o->url), "%s", url);
    snprintf(o->payload, sizeof(o->payload), "%s", payload);
    begin(o);
}

/* ---- an order ---------------------------------------------------------------------------------
 */

static const char *member(const json_t *obj, const char *key)
{
    const char *text = json_string_value(json_object_get(obj, key));
    return text ? text : "";
}

static void poll_later(struct order *o, enum step step)
{
    o->step = step;
    o->due = now() + opt.pause;
}

static void send_new_order(struct order *o)
{
    char payload[TEXT_MAX], name[128];
    int n = snprintf(payload, sizeof(payload), "{\"identifiers\":[");
    for (int i = 0; i < opt.names; i++) {
        name_of(o, i, name, sizeof(name));
        n += snprintf(payload + n, sizeof(payload) - (size_t)n,
                      "%s{\"type\":\"dns\",\"value\":\"%s\"}", i ? "," : "", name);
    }
    snprintf(payload + n, sizeof(payload) - (size_t)n, "]}");
    o->step = NEW_ORDER;
    o->index = 0;
    ask(o, new_order, payload);
}

static void write_token(const char *token)
{
    char path[1024];
    snprintf(path, sizeof(path), "%s/.well-known/acme-challenge/%s", opt.webroot, token);
    FILE *f = fopen(path, "w");
    if (!f)
        die("cannot write a challenge file");
    fprintf(f, "%s.%s", token, thumbprint);
    fclose(f);
}

static void take_authz(struct order *o, const json_t *authz)
{
    size_t i;
    json_t *challenge;
    json_array_foreach(json_object_get(authz, "challenges"), i, challenge)
    {
        if (strcmp(member(challenge, "type"), "http-01") != 0)
            continue;
        write_token(member(challenge, "token"));
        free(o->challenge[o->index]);
        o->challenge[o->index] = strdup(member(challenge, "url"));
    }
}

static void send_finalize(struct order *o)
{
    char sans[TEXT_MAX], name[128];
    unsigned char *der = NULL;
    int n = 0;
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509_REQ *req = X509_REQ_new();
    for (int i = 0; i < opt.names; i++) {
        name_of(o, i, name, sizeof(name));
        n += snprintf(sans + n, sizeof(sans) - (size_t)n, "%sDNS:%s", i ? "," : "", name);
    }
    STACK_OF(X509_EXTENSION) *exts = sk_X509_EXTENSION_new_null();
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, sans);
    if (!key || !ext)
        die("cannot make a signing request");
    sk_X509_EXTENSION_push(exts, ext);
    X509_REQ_set_version(req, 0);
    X509_REQ_set_pubkey(req, key);
    X509_REQ_add_extensions(req, exts);
    X509_REQ_sign(req, key, EVP_sha256());
    int len = i2d_X509_REQ(req, &der);
    char *text = base64url(der, (size_t)len), payload[TEXT_MAX];
    snprintf(payload, sizeof(payload), "{\"csr\":\"%s\"}", text);
    free(text);
    OPENSSL_free(der);
    sk_X509_EXTENSION_pop_free(exts, X509_EXTENSION_free);
    X509_REQ_free(req);
    EVP_PKEY_free(key);
    o->step = FINALIZE;
    ask(o, o->finalize, payload);
}

static void next_authz(struct order *o)
{
    if (o->index < opt.names) {
        o->step = AUTHZ;
        ask(o, o->authz[o->index], "");
        return;
    }
    o->index = 0;
    o->step = CHALLENGE;
    ask(o, o->challenge[0], "{}");
}

static void act_on_order(struct order *o, const json_t *obj)
{
    const char *status = member(obj, "status");
    if (strcmp(status, "ready") == 0) {
        send_finalize(o);
    } else if (strcmp(status, "valid") == 0) {
        o->step = DOWNLOAD;
        ask(o, member(obj, "certificate"), "");
    } else if (strcmp(status, "invalid") == 0) {
        die(o->reply.data);
    } else {
        poll_later(o, o->step == FINALIZE ? POLL_VALID : o->step);
    }
}

static void react(struct order *o)
{
    json_t *obj = o->reply.len ? json_loads(o->reply.data, 0, NULL) : NULL;
    size_t i;
    json_t *url;
    if (o->status >= 400 && strstr(member(obj, "type"), "badNonce")) {
        begin(o);
        json_decref(obj);
        return;
    }
    if (o->status >= 400)
        die(o->reply.data);
    switch (o->step) {
    case NEW_ORDER:
        snprintf(o->order_url, sizeof(o->order_url), "%s", o->location);
        snprintf(o->finalize, sizeof(o->finalize), "%s", member(obj, "finalize"));
        json_array_foreach(json_object_get(obj, "authorizations"), i, url)
        {
            free(o->authz[i]);
            o->authz[i] = strdup(json_string_value(url));
        }
        next_authz(o);
        break;
    case AUTHZ:
        take_authz(o, obj);
        o->index++;
        next_authz(o);
        break;
    case CHALLENGE:
        if (++o->index < opt.names)
            ask(o, o->challenge[o->index], "{}");
        else
            poll_later(o, POLL_READY);
        break;
    case POLL_READY:
    case FINALIZE:
    case POLL_VALID:
        act_on_order(o, obj);
        break;
    case DOWNLOAD:
        if (!strstr(o->reply.data, "BEGIN CERTIFICATE"))
            die("no certificate came");
        done_count++;
        o->step = DONE;
        if (started < opt.count) {
            o->number = started++;
            send_new_order(o);
        }
        break;
    case DONE:
        break;
    }
    json_decref(obj);
}

static void finished(CURL *easy, CURLcode code)
{
    struct order *o;
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, &o);
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &o->status);
    curl_multi_remove_handle(multi, easy);
    running--;
    if (code != CURLE_OK)
        die(curl_easy_strerror(code));
    if (o->nonce_only)
        begin(o);
    else
        react(o);
}

static void turn(struct order *orders)
{
    int active, left, wait_ms = 1000;
    CURLMsg *msg;
    double time = now();
    for (int i = 0; i < opt.in_flight; i++) {
        if (orders[i].due == 0)
            continue;
        if (orders[i].due <= time) {
            orders[i].due = 0;
            ask(&orders[i], orders[i].order_url, "");
            wait_ms = 0;
        } else if ((orders[i].due - time) * 1000 + 1 < wait_ms) {
            wait_ms = (int)((orders[i].due - time) * 1000) + 1;
        }
    }
    curl_multi_perform(multi, &active);
    while ((msg = curl_multi_info_read(multi, &left)))
        if (msg->msg == CURLMSG_DONE) {
            finished(msg->easy_handle, msg->data.result);
            wait_ms = 0;
        }
    curl_multi_poll(multi, NULL, 0, wait_ms, NULL);
}

/* ---- account and start -------------------------------------------------------------------------
 */

/* One request outside the clock: directory, nonce, account. */
static void single(struct order *o, const char *url, const char *payload)
{
    int active, left;
    bool over = false;
    if (payload) {
        ask(o, url, payload);
    } else {
        set_up(o);
        curl_easy_setopt(o->easy, CURLOPT_URL, url);
        curl_multi_add_handle(multi, o->easy);
        running++;
    }
    while (!over) {
        curl_multi_perform(multi, &active);
        for (CURLMsg *msg; (msg = curl_multi_info_read(multi, &left));)
            over = over || msg->msg == CURLMSG_DONE;
        if (!over)
            curl_multi_poll(multi, NULL, 0, 1000, NULL);
    }
    curl_multi_remove_handle(multi, o->easy);
    running--;
    if (payload && o->nonce_only)
        single(o, url, payload);
}

static void open_account(struct order *o)
{
    single(o, opt.directory, NULL);
    json_t *dir = json_loads(o->reply.data ? o->reply.data : "", 0, NULL);
    snprintf(new_nonce, sizeof(new_nonce), "%s", member(dir, "newNonce"));
    snprintf(new_account, sizeof(new_account), "%s", member(dir, "newAccount"));
    snprintf(new_order, sizeof(new_order), "%s", member(dir, "newOrder"));
    json_decref(dir);
    do
        single(o, new_account, "{\"termsOfServiceAgreed\":true}");
    while (strstr(o->reply.data ? o->reply.data : "", "badNonce"));
    snprintf(kid, sizeof(kid), "%s", o->location);
    if (!kid[0])
        die("no account");
}

static void options(int argc, char **argv)
{
    for (int c; (c = getopt(argc, argv, "d:c:w:n:j:s:p:x:")) != -1;) {
        switch (c) {
        case 'd':
            opt.directory = optarg;
            break;
        case 'c':
            opt.ca = optarg;
            break;
        case 'w':
            opt.webroot = optarg;
            break;
        case 'n':
            opt.count = (int)strtol(optarg, NULL, 10);
            break;
        case 'j':
            opt.in_flight = (int)strtol(optarg, NULL, 10);
            break;
        case 's':
            opt.names = (int)strtol(optarg, NULL, 10);
            break;
        case 'p':
            opt.pause = (double)strtol(optarg, NULL, 10) / 1000;
            break;
        case 'x':
            opt.prefix = optarg;
            break;
        default:
            die("usage: bare -d DIRECTORY -c CA.pem -w WEBROOT [-n COUNT] [-j IN_FLIGHT] "
                "[-s NAMES] [-p POLL_MS] [-x PREFIX]");
        }
    }
    if (!opt.directory || !opt.ca || !opt.webroot || opt.names < 1 || opt.names > NAMES_MAX ||
        opt.in_flight < 1 || opt.in_flight > IN_FLIGHT)
        die("-d, -c and -w are needed; 1 to 100 names, 1 to 1000 in flight");
}

/* Of this program alone: ru_maxrss begins with what its parent had at the fork. */
static long peak_kb(void)
{
    char line[256];
    long kb = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && kb == 0 && fgets(line, sizeof(line), f))
        if (strncmp(line, "VmHWM:", 6) == 0)
            kb = strtol(line + 6, NULL, 10);
    if (f)
        fclose(f);
    return kb;
}

int main(int argc, char **argv)
{
    options(argc, argv);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    multi = curl_multi_init();
    curl_multi_setopt(multi, CURLMOPT_MAX_HOST_CONNECTIONS, 1L);
    make_account_key();
    struct order *orders = calloc((size_t)opt.in_flight, sizeof(*orders));
    open_account(&orders[0]);
    requests = 0;
    struct rusage before, after;
    getrusage(RUSAGE_SELF, &before);
    double begun = now();
    for (int i = 0; i < opt.in_flight && started < opt.count; i++) {
        orders[i].number = started++;
        send_new_order(&orders[i]);
    }
    while (done_count < opt.count)
        turn(orders);
    double wall = now() - begun;
    getrusage(RUSAGE_SELF, &after);
    double cpu = (double)(after.ru_utime.tv_sec - before.ru_utime.tv_sec) +
                 (double)(after.ru_utime.tv_usec - before.ru_utime.tv_usec) / 1e6 +
                 (double)(after.ru_stime.tv_sec - before.ru_stime.tv_sec) +
                 (double)(after.ru_stime.tv_usec - before.ru_stime.tv_usec) / 1e6;
    printf("{\"count\": %d, \"wall\": %.4f, \"cpu\": %.4f, \"requests\": %ld, \"rss_kb\": %ld}\n",
           done_count, wall, cpu, requests, peak_kb());
    return 0;
}
