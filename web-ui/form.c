/* Decoded forms.  See form.h. */
#include "web-ui/form.h"

#include <string.h>

#include "base/core/mem.h"
#include "base/net/multipart.h"
#include "base/net/url.h"

static int add(struct web_form *form, const char *name, const char *value, size_t len)
{
    if (form->count >= WEB_PAIRS_MAX)
        return CM_ELIMIT;
    form->pair[form->count].name = cm_strdup(name);
    form->pair[form->count].value = cm_strndup(value, len);
    form->count++;
    return 0;
}

static int add_pair(void *arg, const char *name, const char *value)
{
    return add(arg, name, value, strlen(value));
}

struct parts {
    struct web_form *form;
    struct cm_err *err;
};

static int add_part(void *arg, const char *name, const char *data, size_t len)
{
    struct parts *parts = arg;

    if (len > 0 && memchr(data, 0, len))
        return cm_fail(parts->err, CM_EMALF, "%s: the file is no text", name);
    return add(parts->form, name, data, len);
}

int web_form_parse_parts(struct web_form *form, const char *content_type, const char *text,
                         size_t len, struct cm_err *err)
{
    struct parts parts = {.form = form, .err = err};

    return multipart_each(content_type, text, len, add_part, &parts, err);
}

int web_form_parse(struct web_form *form, const char *text, size_t len, struct cm_err *err)
{
    int rc = url_form_each(text, len, add_pair, form, err);

    if (rc < 0 && err && err->code == 0)
        return cm_fail(err, rc, "the form has more than %d values", WEB_PAIRS_MAX);
    return rc;
}

void web_form_fini(struct web_form *form)
{
    for (size_t i = 0; i < form->count; i++) {
        cm_free(form->pair[i].name);
        cm_free_secret(form->pair[i].value, strlen(form->pair[i].value));
    }
    form->count = 0;
}

const char *web_form_get(const struct web_form *form, const char *name)
{
    for (size_t i = 0; i < form->count; i++) {
        if (strcmp(form->pair[i].name, name) == 0)
            return form->pair[i].value;
    }
    return NULL;
}

const char *web_form_text(const struct web_form *form, const char *name)
{
    const char *value = web_form_get(form, name);

    return value ? value : "";
}

json_t *web_form_words(const struct web_form *form, const char *name)
{
    static const char blanks[] = " \t\r\n,";
    json_t *words = json_array();

    for (size_t i = 0; i < form->count; i++) {
        const char *text = form->pair[i].value;

        if (strcmp(form->pair[i].name, name) != 0)
            continue;
        for (text += strspn(text, blanks); *text; text += strspn(text, blanks)) {
            size_t len = strcspn(text, blanks);

            json_array_append_new(words, json_stringn(text, len));
            text += len;
        }
    }
    return words;
}
