/* Base64 in both alphabets, hex, digests, random bytes and ULIDs. */
#include "base/core/bytes.h"

#include <errno.h>
#include <limits.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <pthread.h>
#include <string.h>
#include <sys/random.h>

#include "base/core/clock.h"
#include "base/core/err.h"
#include "base/core/mem.h"

static const char alphabet_std[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char alphabet_url[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
static const char crockford[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

static char *encode(const void *data, size_t len, const char *alphabet, bool pad)
{
    const uint8_t *in = data;
    CM_BUG_ON(len > SIZE_MAX / 2);
    char *text = cm_malloc((len + 2) / 3 * 4 + 1), *out = text;
    for (size_t i = 0; i < len; i += 3) {
        size_t have = len - i < 3 ? len - i : 3;
        uint32_t group = (uint32_t)in[i] << 16;
        if (have > 1)
            group |= (uint32_t)in[i + 1] << 8;
        if (have > 2)
            group |= in[i + 2];
        for (size_t k = 0; k < 4; k++) {
            if (k <= have)
                *out++ = alphabet[(group >> (18 - 6 * k)) & 63];
            else if (pad)
                *out++ = '=';
        }
    }
    *out = '\0';
    return text;
}

static int digit_of(char c, const char *alphabet)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == alphabet[62])
        return 62;
    return c == alphabet[63] ? 63 : -1;
}

/* Digits without padding; the unused bits of the last digit must be zero (RFC 4648 3.5), so that
 * one value has one text. */
static int decode(const char *text, size_t len, const char *alphabet, uint8_t **ret,
                  size_t *ret_len)
{
    if (len % 4 == 1)
        return CM_EMALF;
    uint8_t *out = cm_malloc(len / 4 * 3 + 3);
    size_t n = 0;
    uint32_t bits = 0;
    unsigned have = 0;
    for (size_t i = 0; i < len; i++) {
        int digit = digit_of(text[i], alphabet);
        if (digit < 0) {
            cm_free(out);
            return CM_EMALF;
        }
        bits = (bits << 6 | (uint32_t)digit) & 0xffff;
        have += 6;
        if (have >= 8) {
            have -= 8;
            out[n++] = (uint8_t)(bits >> have);
        }
    }
    if (bits & ((1u << have) - 1)) {
        cm_free(out);
        return CM_EMALF;
    }
    out[n] = 0;
    *ret = out;
    *ret_len = n;
    return 0;
}

char *cm_b64(const void *data, size_t len)
{
    return encode(data, len, alphabet_std, true);
}

char *cm_b64url(const void *data, size_t len)
{
    return encode(data, len, alphabet_url, false);
}

int cm_b64_decode(const char *text, size_t len, uint8_t **ret, size_t *ret_len)
{
    if (len % 4 != 0)
        return CM_EMALF;
    for (unsigned pad = 0; pad < 2 && len > 0 && text[len - 1] == '='; pad++)
        len--;
    return decode(text, len, alphabet_std, ret, ret_len);
}

int cm_b64url_decode(const char *text, size_t len, uint8_t **ret, size_t *ret_len)
{
    return decode(text, len, alphabet_url, ret, ret_len);
}

void cm_hex(const void *data, size_t len, char *out)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *in = data;
    for (size_t i = 0; i < len; i++) {
        *out++ = digits[in[i] >> 4];
        *out++ = digits[in[i] & 15];
    }
    *out = '\0';
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int cm_hex_decode(const char *text, uint8_t *out, size_t out_len)
{
    if (!text || strnlen(text, 2 * out_len + 1) != 2 * out_len)
        return CM_EMALF;
    for (size_t i = 0; i < out_len; i++) {
        int high = hex_value(text[2 * i]), low = hex_value(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return CM_EMALF;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return 0;
}

/* Fetched once: libcrypto looks EVP_sha256() up at each use, which costs more than the digest of a
 * short text.  Stays for the life of the process. */
static EVP_MD *sha256;

static void fetch_sha256(void)
{
    sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    CM_BUG_ON(!sha256);
}

void cm_sha256(const void *data, size_t len, uint8_t out[CM_SHA256_SIZE])
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    unsigned size = 0;
    CM_BUG_ON(pthread_once(&once, fetch_sha256) != 0);
    CM_BUG_ON(EVP_Digest(data, len, out, &size, sha256, NULL) != 1 || size != CM_SHA256_SIZE);
}

void cm_sha256_hex(const void *data, size_t len, char out[CM_SHA256_HEX])
{
    uint8_t digest[CM_SHA256_SIZE];
    cm_sha256(data, len, digest);
    cm_hex(digest, sizeof(digest), out);
}

void cm_hmac_sha256(const void *key, size_t key_len, const void *data, size_t len,
                    uint8_t out[CM_SHA256_SIZE])
{
    unsigned size = 0;
    CM_BUG_ON(key_len > INT_MAX);
    CM_BUG_ON(!HMAC(EVP_sha256(), key, (int)key_len, data, len, out, &size) ||
              size != CM_SHA256_SIZE);
}

size_t cm_hmac_sha2(unsigned bits, const void *key, size_t key_len, const void *data, size_t len,
                    uint8_t out[CM_HMAC_MAX])
{
    const EVP_MD *md = bits == 512 ? EVP_sha512() : bits == 384 ? EVP_sha384() : EVP_sha256();
    unsigned size = 0;
    CM_BUG_ON(key_len > INT_MAX || (bits != 256 && bits != 384 && bits != 512));
    CM_BUG_ON(!HMAC(md, key, (int)key_len, data, len, out, &size) || size != bits / 8);
    return size;
}

void cm_random(void *out, size_t len)
{
    uint8_t *at = out;
    while (len > 0) {
        ssize_t n = getrandom(at, len, 0);
        if (n < 0 && errno == EINTR)
            continue;
        CM_BUG_ON(n <= 0);
        at += n;
        len -= (size_t)n;
    }
}

void cm_ulid(char out[CM_ULID_TEXT])
{
    int64_t now = cm_now_ms();
    uint8_t random[10];
    cm_random(random, sizeof(random));
    for (int i = 9; i >= 0; i--) {
        out[i] = crockford[now & 31];
        now >>= 5;
    }
    /* 80 bits = 16 digits of 5, most significant bit first. */
    uint32_t bits = 0;
    unsigned have = 0;
    char *at = out + 10;
    for (size_t i = 0; i < sizeof(random); i++) {
        bits = (bits << 8 | random[i]) & 0xffff;
        have += 8;
        while (have >= 5) {
            have -= 5;
            *at++ = crockford[(bits >> have) & 31];
        }
    }
    *at = '\0';
}

bool cm_ulid_ok(const char *text)
{
    if (!text || strnlen(text, CM_ULID_TEXT) != CM_ULID_TEXT - 1 || text[0] > '7')
        return false;
    return strspn(text, crockford) == CM_ULID_TEXT - 1;
}
