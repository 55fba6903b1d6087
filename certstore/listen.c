/* Who hears about commits: listeners of documents and of manager-local tables. */
#include <string.h>

#include "base/core/mem.h"
#include "certstore/internal.h"

static struct cs_ear *free_ear(struct cs_store *store)
{
    size_t i = 0;

    while (i < CS_LISTENERS_MAX && (store->ear[i].fn || store->ear[i].local))
        i++;
    CM_BUG_ON(i == CS_LISTENERS_MAX);
    return &store->ear[i];
}

void cs_listen(struct cs_store *store, cs_listener_fn fn, void *arg)
{
    *free_ear(store) = (struct cs_ear){.fn = fn, .arg = arg};
}

void cs_listen_local(struct cs_store *store, const char *table, cs_local_fn fn, void *arg)
{
    *free_ear(store) = (struct cs_ear){.local = fn, .table = table, .arg = arg};
}

void cs_unlisten(struct cs_store *store, const void *arg)
{
    for (size_t i = 0; i < CS_LISTENERS_MAX; i++)
        if (store->ear[i].arg == arg)
            store->ear[i] = (struct cs_ear){0};
}

/* Nobody's tables cost nothing. */
static bool is_heard(const struct cs_store *store, const char *table)
{
    for (size_t i = 0; i < CS_LISTENERS_MAX; i++)
        if (store->ear[i].local && strcmp(store->ear[i].table, table) == 0)
            return true;
    return false;
}

void cs_note_local(struct cs_store *store, const char *table, const char *key)
{
    if (!is_heard(store, table))
        return;
    CM_AUTO_STR name = cm_asprintf("%s/%s", table, key);
    json_object_set_new(store->local_changed, name, json_true());
}

/* The key of a "table/key" when the ear is for that table; NULL = for another. */
static const char *key_for(const struct cs_ear *ear, const char *name)
{
    size_t len = strlen(ear->table);
    return strncmp(name, ear->table, len) == 0 && name[len] == '/' ? name + len + 1 : NULL;
}

void cs_tell(struct cs_store *store, const json_t *changed, const json_t *local_changed)
{
    const char *name, *key;
    json_t *unused;

    json_object_foreach((json_t *)(uintptr_t)changed, name, unused)
    {
        for (size_t i = 0; i < CS_LISTENERS_MAX; i++)
            if (store->ear[i].fn)
                store->ear[i].fn(store->ear[i].arg, name);
    }
    json_object_foreach((json_t *)(uintptr_t)local_changed, name, unused)
    {
        for (size_t i = 0; i < CS_LISTENERS_MAX; i++)
            if (store->ear[i].local && (key = key_for(&store->ear[i], name)))
                store->ear[i].local(store->ear[i].arg, key);
    }
}
