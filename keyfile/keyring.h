/*
 * Keyring formats: which files a deployment writes, and what stands in them (docs/keyring.md).
 *
 * kyr: one file, private key, leaf, intermediates, root as PEM in that order.
 * pem: certbot's names; fullchain.pem and chain.pem hold no root.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

#include "base/core/err.h"

#define KF_KEYRING_NAME_MAX  64 /* "a-z0-9._-", ends in .kyr */
#define KF_KEYRING_FILES_MAX 5
#define KF_FILE_PARTS_MAX    4

struct kf_material {
    const char *key;           /* PKCS#8 PEM */
    const char *leaf;          /* PEM each */
    const char *intermediates; /* may be "" */
    const char *root;          /* or NULL */
};

/* One file; its parts point into the material, so the key is not copied once more. */
struct kf_file {
    char name[KF_KEYRING_NAME_MAX + 1];
    bool secret; /* holds the private key */
    struct iovec part[KF_FILE_PARTS_MAX];
    int parts;
};

/* 1-64 of a-z 0-9 . _ -, not beginning with a dot, ending in ".kyr" with something before it. */
bool kf_keyring_name_ok(const char *name);
/* "site.kyr" -> "site" */
void kf_keyring_base(const char *name, char out[KF_KEYRING_NAME_MAX + 1]);

/* The files of the formats asked for; returns their number. */
size_t kf_keyring_files(const struct kf_material *material, const char *keyring_file, bool kyr,
                        bool pem, struct kf_file out[KF_KEYRING_FILES_MAX]);
size_t kf_file_size(const struct kf_file *file);
/* Is data exactly the file's content? */
bool kf_file_equals(const struct kf_file *file, const char *data, size_t len);
