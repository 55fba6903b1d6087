/* Inside keyfile: helpers on directory descriptors that place.c and generation.c share. */
#pragma once

#include "keyfile/place.h"

#define KF_CURRENT "current"

void kf_close_fd(int *fd);
#define KF_AUTO_FD __attribute__((cleanup(kf_close_fd))) int

/* Decimal name of a generation directory, or 0. */
int64_t kf_generation_number(const char *name);
/* Is D/<name> absent (0), our link to `want` (1), or something else (CM_ECONFLICT)? */
int kf_place_link(const struct kf_place *place, const char *name, const char *want,
                  struct cm_err *err);
/* The two links of a place: of the kyr file and of the pem directory. */
#define KF_LINKS 2
struct kf_link {
    bool wanted; /* its format is on */
    char name[KF_KEYRING_NAME_MAX + 1];
    char content[3 * KF_KEYRING_NAME_MAX];
};
void kf_place_links(const struct kf_place *place, struct kf_link out[KF_LINKS]);
