/* Keys of the indexes that callers build themselves. */
#pragma once

/* A host name as CS_BY_HOST holds it: lower case, labels reversed ("www.Example.com" →
 * "com.example.www").  The caller frees it with cm_free(). */
char *cs_host_key(const char *name);
