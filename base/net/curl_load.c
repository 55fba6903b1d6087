/*
 * libcurl, loaded by the process that makes calls and not before.
 *
 * It brings some twenty libraries (LDAP, Kerberos, GnuTLS, SSH …).  Supervisor and key agent never
 * call out: without them they are half as large, a program with all keys in its hands holds none of
 * that code, and a command that asks nobody starts in a third of the time.  So the program is not
 * linked with libcurl; its functions are found here by their names, under the same names.
 */
#include <curl/curl.h>
#include <dlfcn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/core/log.h"
#include "base/core/mem.h"

/* The ABI of libcurl 7.16 and later. */
#define LIBRARY "libcurl.so.4"

/* curl.h's macros around its variadic functions */
#undef curl_easy_setopt
#undef curl_easy_getinfo
#undef curl_multi_setopt

#define EACH(X)                                                                                    \
    X(easy_cleanup)                                                                                \
    X(easy_getinfo)                                                                                \
    X(easy_init)                                                                                   \
    X(easy_perform)                                                                                \
    X(easy_setopt)                                                                                 \
    X(easy_strerror)                                                                               \
    X(global_init)                                                                                 \
    X(mime_addpart)                                                                                \
    X(mime_data)                                                                                   \
    X(mime_encoder)                                                                                \
    X(mime_free)                                                                                   \
    X(mime_init)                                                                                   \
    X(mime_type)                                                                                   \
    X(multi_add_handle)                                                                            \
    X(multi_cleanup)                                                                               \
    X(multi_info_read)                                                                             \
    X(multi_init)                                                                                  \
    X(multi_remove_handle)                                                                         \
    X(multi_setopt)                                                                                \
    X(multi_socket_action)                                                                         \
    X(slist_append)                                                                                \
    X(slist_free_all)

/* NOLINTBEGIN(bugprone-macro-parentheses): names, not values */
#define POINTER(name) __typeof__(&curl_##name) name;
struct curl_functions {
    EACH(POINTER)
};

struct entry {
    const char *name;
    size_t at;
};

#define ENTRY(name) {"curl_" #name, offsetof(struct curl_functions, name)},
static const struct entry entries[] = {EACH(ENTRY)};
/* NOLINTEND(bugprone-macro-parentheses) */

static struct curl_functions functions;

static const struct curl_functions *load(void)
{
    static void *library; /* stays for the life of the process */
    if (library)
        return &functions;
    /* GnuTLS comes along for protocols that are not used here: it need not prepare itself. */
    (void)setenv("GNUTLS_NO_IMPLICIT_INIT", "1", 1);
    library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        cm_log(CM_LOG_ERROR, "net", NULL, "libcurl cannot be loaded, install it (libcurl4): %s",
               dlerror());
    CM_BUG_ON(!library);
    for (size_t i = 0; i < sizeof(entries) / sizeof(entries[0]); i++) {
        void *found = dlsym(library, entries[i].name);
        CM_BUG_ON(!found);
        *(void **)(void *)((char *)&functions + entries[i].at) = found; /* POSIX allows it */
    }
    return &functions;
}

/* ---- the same names ----------------------------------------------------------------------- */

/* Every value of these three is a pointer, a long or a curl_off_t: one register each, as libcurl's
 * own bindings for other languages have it. */
_Static_assert(sizeof(void *) == sizeof(long) && sizeof(void *) == sizeof(curl_off_t),
               "values of libcurl's options differ in size");

CURLcode curl_easy_setopt(CURL *easy, CURLoption option, ...)
{
    va_list ap;
    va_start(ap, option);
    void *value = va_arg(ap, void *);
    va_end(ap);
    return load()->easy_setopt(easy, option, value);
}

CURLcode curl_easy_getinfo(CURL *easy, CURLINFO info, ...)
{
    va_list ap;
    va_start(ap, info);
    void *value = va_arg(ap, void *);
    va_end(ap);
    return load()->easy_getinfo(easy, info, value);
}

CURLMcode curl_multi_setopt(CURLM *multi, CURLMoption option, ...)
{
    va_list ap;
    va_start(ap, option);
    void *value = va_arg(ap, void *);
    va_end(ap);
    return load()->multi_setopt(multi, option, value);
}

CURLcode curl_global_init(long flags)
{
    return load()->global_init(flags);
}

CURL *curl_easy_init(void)
{
    return load()->easy_init();
}

CURLcode curl_easy_perform(CURL *easy)
{
    return load()->easy_perform(easy);
}

void curl_easy_cleanup(CURL *easy)
{
    load()->easy_cleanup(easy);
}

const char *curl_easy_strerror(CURLcode code)
{
    return load()->easy_strerror(code);
}

CURLM *curl_multi_init(void)
{
    return load()->multi_init();
}

CURLMcode curl_multi_cleanup(CURLM *multi)
{
    return load()->multi_cleanup(multi);
}

CURLMcode curl_multi_add_handle(CURLM *multi, CURL *easy)
{
    return load()->multi_add_handle(multi, easy);
}

CURLMcode curl_multi_remove_handle(CURLM *multi, CURL *easy)
{
    return load()->multi_remove_handle(multi, easy);
}

CURLMcode curl_multi_socket_action(CURLM *multi, curl_socket_t fd, int events, int *running)
{
    return load()->multi_socket_action(multi, fd, events, running);
}

CURLMsg *curl_multi_info_read(CURLM *multi, int *left)
{
    return load()->multi_info_read(multi, left);
}

struct curl_slist *curl_slist_append(struct curl_slist *list, const char *text)
{
    return load()->slist_append(list, text);
}

void curl_slist_free_all(struct curl_slist *list)
{
    load()->slist_free_all(list);
}

curl_mime *curl_mime_init(CURL *easy)
{
    return load()->mime_init(easy);
}

void curl_mime_free(curl_mime *mime)
{
    load()->mime_free(mime);
}

curl_mimepart *curl_mime_addpart(curl_mime *mime)
{
    return load()->mime_addpart(mime);
}

CURLcode curl_mime_data(curl_mimepart *part, const char *data, size_t len)
{
    return load()->mime_data(part, data, len);
}

CURLcode curl_mime_type(curl_mimepart *part, const char *type)
{
    return load()->mime_type(part, type);
}

CURLcode curl_mime_encoder(curl_mimepart *part, const char *encoding)
{
    return load()->mime_encoder(part, encoding);
}
