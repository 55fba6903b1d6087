/* The table of settings (internal to certmgr/config, and read by the manual-page test). */
#pragma once

#include "certmgr/config/config.h"

enum config_kind {
    CONFIG_TEXT,    /* char[size] */
    CONFIG_INT,     /* int, min..max */
    CONFIG_BOOL,    /* bool: yes/no */
    CONFIG_MODE,    /* unsigned, octal */
    CONFIG_ARGV,    /* struct config_argv: words, continued lines add words */
    CONFIG_MAIL,    /* char[size]: mail addresses, continued lines add some */
    CONFIG_SERVERS, /* char[size]: addresses, each with or without a port, separated by commas */
    CONFIG_ORIGINS, /* origin[] of struct config: words */
    CONFIG_FORMATS, /* kyr and pem flags of struct config_target */
};

struct config_item {
    const char *section, *key;
    enum config_kind kind;
    size_t offset, size;
    int min, max;
    const char *fallback; /* as it would be written; NULL = none */
    const char *doc;
};

const struct config_item *config_item_find(const char *section, const char *key);
/* Is there such a section?  The known one nearest to a mistyped one (at most 3 edits), or NULL. */
bool config_section_known(const char *section);
const char *config_section_nearest(const char *section);
/* The known key nearest to a mistyped one (at most 3 edits), or NULL. */
const char *config_item_nearest(const char *section, const char *key);
/* Reads value into the field at base + offset; again: a further line of the same key. */
int config_item_set(const struct config_item *item, void *base, const char *value, bool again,
                    struct cm_err *err);
void config_items_default(struct config *config);
/* Fills what depends on other settings (host from name, default CAs). */
void config_items_finish(struct config *config);
size_t config_item_count(void);
const struct config_item *config_item_at(size_t i);
