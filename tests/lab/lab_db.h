/* The databases of certstore-lab: one store and one replication server each, below one directory.
 */
#pragma once

#include "replicator/replicator.h"

#define LAB_NAME_MAX 200
#define LAB_MAP_SIZE (1u << 30)

struct lab_dbs;
struct lab_db {
    struct lab_db *next;
    struct lab_dbs *dbs;
    char *name, *dir;
    struct cs_store *store;
    struct rp_server *server;
    struct cm_timer *commit;
};

struct lab_dbs {
    struct cm_loop *loop;
    const char *dir;
    struct lab_db *first;
};

/* Opens every database that lies in dir. */
int lab_dbs_open(struct lab_dbs *dbs, struct cm_loop *loop, const char *dir, struct cm_err *err);
void lab_dbs_close(struct lab_dbs *dbs);
/* CouchDB's rule for names: [a-z][a-z0-9_$()+/-]* */
bool lab_name_ok(const char *name);
struct lab_db *lab_db_find(struct lab_dbs *dbs, const char *name);
int lab_db_create(struct lab_dbs *dbs, const char *name, struct cm_err *err);
/* Commits and closes the store; then clients of it may be freed. */
void lab_db_close_store(struct lab_db *db);
/* Closes the database and removes its files. */
void lab_db_delete(struct lab_dbs *dbs, struct lab_db *db);
