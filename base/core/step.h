/*
 * Named steps at which the fault tests kill a process: what is journalled has to be finished by the
 * next life, whichever step was the last.
 *
 * Only builds with AddressSanitizer, which nobody installs, contain any of it (or with
 * -DCM_CRASH_POINTS).  There, with CERTMGR_STEPS naming a directory: a file of the step's name in
 * it is taken away, an empty file "<name>.hit" appears, and this process is killed; the parent (the
 * supervisor), too, when the file says "all", and alone when it says "parent"; every certmgr
 * process of its session (supervisor, front, agent; or a command and its agent) when it says
 * "session".  "session 3" kills when the step is passed the third time.  Where the directory holds
 * a file "trace", each step passed adds its name to it.
 */
#pragma once

#if !defined(CM_CRASH_POINTS) && defined(__SANITIZE_ADDRESS__)
#define CM_CRASH_POINTS
#elif !defined(CM_CRASH_POINTS) && defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CM_CRASH_POINTS
#endif
#endif

#ifdef CM_CRASH_POINTS
void cm_step(const char *name);
/* The step "<last part of path>.<point>". */
void cm_step_file(const char *path, const char *point);
#else
#define cm_step(name)             ((void)0)
#define cm_step_file(path, point) ((void)0)
#endif
