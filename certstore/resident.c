/*
 * What of the store's file counts as memory of this process.
 *
 * LMDB maps the file, and a page once read stays in the process's tables, sixteen at a time: after
 * a thousand certificates the whole file counts, although the kernel could take each page back.  So
 * the tables are emptied now and then; the pages stay in the kernel's cache, and the few that are
 * in use come back with a minor fault each.  Nothing is written and no pointer becomes invalid.
 */
#include <inttypes.h>
#include <lmdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "certstore/env.h"

#define MAPS_LINE_MAX 512
#define USES_MAX      2048 /* between two rounds */
#define COMMIT_USES   512  /* what a commit counts for: it touches more than a read */

void cs_env_find_map(struct cs_env *env)
{
    struct stat file;
    char line[MAPS_LINE_MAX];
    int fd = -1;
    if (mdb_env_get_fd(env->lmdb, &fd) != 0 || fstat(fd, &file) != 0)
        return;
    FILE *maps = fopen("/proc/self/maps", "re"); /* LMDB does not tell where its map lies */
    while (maps && !env->map && fgets(line, sizeof(line), maps)) {
        char *at = line;
        uintptr_t start = strtoumax(at, &at, 16);
        uintptr_t end = *at == '-' ? strtoumax(at + 1, &at, 16) : 0;
        /* Rights, offset, and the device, which is not the file's own on every file system. */
        for (int field = 0; field < 3 && *at; field++)
            at += 1 + strcspn(at + 1, " ");
        if (end > start && strtoumax(at, &at, 10) == file.st_ino && strstr(at, "/data.mdb")) {
            env->map = (void *)start;
            env->map_len = end - start;
        }
    }
    if (maps)
        fclose(maps);
}

void cs_env_used(struct cs_env *env, bool commit)
{
    env->uses += commit ? COMMIT_USES : 1;
    if (env->uses < USES_MAX || !env->map)
        return;
    env->uses = 0;
    (void)madvise(env->map, env->map_len, MADV_DONTNEED); /* failing, it only costs memory */
}
