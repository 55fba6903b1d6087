/* Keyring formats. */
#include "keyfile/keyring.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/core/mem.h"

#define SUFFIX ".kyr"

bool kf_keyring_name_ok(const char *name)
{
    size_t len = strlen(name);
    size_t suffix = strlen(SUFFIX);
    return len > suffix && len <= KF_KEYRING_NAME_MAX && name[0] != '.' &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789._-") == len &&
           strcmp(name + len - suffix, SUFFIX) == 0;
}

void kf_keyring_base(const char *name, char out[KF_KEYRING_NAME_MAX + 1])
{
    cm_strcpy(out, KF_KEYRING_NAME_MAX + 1, name);
    out[strlen(out) - strlen(SUFFIX)] = '\0';
}

static void begin(struct kf_file *file, const char *name, bool secret)
{
    *file = (struct kf_file){.secret = secret};
    cm_strcpy(file->name, sizeof(file->name), name);
}

static void add(struct kf_file *file, const char *text)
{
    if (!text || !text[0])
        return;
    /* iovec has no const; the parts are only written from. */
    file->part[file->parts++] =
        (struct iovec){.iov_base = (void *)(uintptr_t)text, .iov_len = strlen(text)};
}

size_t kf_keyring_files(const struct kf_material *material, const char *keyring_file, bool kyr,
                        bool pem, struct kf_file out[KF_KEYRING_FILES_MAX])
{
    size_t n = 0;
    if (kyr) {
        begin(&out[n], keyring_file, true);
        add(&out[n], material->key);
        add(&out[n], material->leaf);
        add(&out[n], material->intermediates);
        add(&out[n++], material->root);
    }
    if (pem) {
        begin(&out[n], "privkey.pem", true);
        add(&out[n++], material->key);
        begin(&out[n], "cert.pem", false);
        add(&out[n++], material->leaf);
        begin(&out[n], "chain.pem", false);
        add(&out[n++], material->intermediates);
        begin(&out[n], "fullchain.pem", false);
        add(&out[n], material->leaf);
        add(&out[n++], material->intermediates);
    }
    return n;
}

size_t kf_file_size(const struct kf_file *file)
{
    size_t size = 0;
    for (int i = 0; i < file->parts; i++)
        size += file->part[i].iov_len;
    return size;
}

bool kf_file_equals(const struct kf_file *file, const char *data, size_t len)
{
    if (kf_file_size(file) != len)
        return false;
    for (int i = 0; i < file->parts; i++) {
        if (cm_memcmp_ct(data, file->part[i].iov_base, file->part[i].iov_len) != 0)
            return false;
        data += file->part[i].iov_len;
    }
    return true;
}
