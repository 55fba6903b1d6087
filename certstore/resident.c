/*
 * What of the store's file counts as memory of this process.
 *
 * LMDB maps the file, and a page once touched stays in the process's tables with its fifteen
 * neighbours: after a thousand certificates the whole file counts, although the kernel could take
 * each page back, and one group commit can touch ten megabytes.  So what counts is looked at every
 * few steps, also inside a transaction, and above a limit the tables are emptied; the pages stay in
 * the kernel's cache, and the few that are in use come back with a minor fault each.  Nothing is
 * written and no pointer becomes invalid.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <lmdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "certstore/env.h"

#define MAPS_LINE_MAX  512
#define STATM_TEXT_MAX 128
#define PAGES_MAX      384 /* of the map, before its tables are emptied */

/* Pages of files in the tables of this process, from the third number of statm; 0 = unknown. */
static size_t file_pages(const struct cs_env *env)
{
    char text[STATM_TEXT_MAX + 1];
    ssize_t len = pread(env->statm_fd, text, STATM_TEXT_MAX, 0);
    if (len <= 0)
        return 0;
    text[len] = '\0';
    char *at = text;
    for (int field = 0; field < 2; field++)
        (void)strtoumax(at, &at, 10);
    return (size_t)strtoumax(at, &at, 10);
}

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
    env->statm_fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    env->others = file_pages(env);
}

void cs_env_look(struct cs_env *env)
{
    env->steps = 0;
    if (!env->map || env->statm_fd < 0)
        return;
    size_t pages = file_pages(env);
    if (pages < env->others) /* the kernel took some back */
        env->others = pages;
    if (pages - env->others <= PAGES_MAX)
        return;
    (void)madvise(env->map, env->map_len, MADV_DONTNEED); /* failing, it only costs memory */
    env->others = file_pages(env);
}
