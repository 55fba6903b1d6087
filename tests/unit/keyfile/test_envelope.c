/*
 * The strict reading of envelopes: one good envelope, taken apart into its DER tree, changed in one
 * named way, put together again, and refused before libcrypto sees it.
 */
#include "der_tree.h"

#include <openssl/err.h>

static struct {
    char *dir;
    struct kf_identity one, two;
    uint8_t *good;
    size_t good_len;
    struct cm_err err;
} f;

/* ---- places in it ---- */

static struct node *body(struct node *root)
{
    return root->child[1]->child[0];
}
static struct node *set(struct node *root)
{
    return body(root)->child[1];
}
static struct node *kari(struct node *root)
{
    return set(root)->child[0];
}
static struct node *rek(struct node *root) /* the recipient's encrypted key */
{
    return kari(root)->child[3]->child[0];
}
static struct node *info(struct node *root)
{
    return body(root)->child[2];
}
static struct node *gcm(struct node *root)
{
    return info(root)->child[1]->child[1];
}
static struct node *originator(struct node *root) /* OriginatorPublicKey */
{
    return kari(root)->child[1]->child[0];
}

/* ---- the ways to be wrong ---- */

#define MUTATION(name) static void name(struct node *r)
MUTATION(tag_0)
{
    resize(body(r)->child[3], 0);
}
MUTATION(tag_1)
{
    resize(body(r)->child[3], 1);
}
MUTATION(tag_4)
{
    resize(body(r)->child[3], 4);
}
MUTATION(tag_8)
{
    resize(body(r)->child[3], 8);
}
MUTATION(tag_12)
{
    resize(body(r)->child[3], 12);
}
MUTATION(tag_13)
{
    resize(body(r)->child[3], 13);
}
MUTATION(tag_15)
{
    resize(body(r)->child[3], 15);
}
MUTATION(tag_17)
{
    resize(body(r)->child[3], 17);
}
MUTATION(no_tag)
{
    drop(body(r), 3);
}
MUTATION(icv_4)
{
    gcm(r)->child[1]->data[0] = 4;
}
MUTATION(icv_12)
{
    gcm(r)->child[1]->data[0] = 12;
}
MUTATION(icv_15)
{
    gcm(r)->child[1]->data[0] = 15;
}
MUTATION(icv_long)
{
    OID(gcm(r)->child[1], 0, 16);
}
MUTATION(icv_default)
{
    drop(gcm(r), 1);
}
MUTATION(icv_and_tag_12)
{
    gcm(r)->child[1]->data[0] = 12;
    resize(body(r)->child[3], 12);
}
MUTATION(nonce_8)
{
    resize(gcm(r)->child[0], 8);
}
MUTATION(nonce_16)
{
    resize(gcm(r)->child[0], 16);
}
MUTATION(nonce_empty)
{
    resize(gcm(r)->child[0], 0);
}
MUTATION(gcm_extra)
{
    append(gcm(r), prim(0x02, "\x01", 1));
}
MUTATION(aes128_gcm)
{
    info(r)->child[1]->child[0]->data[8] = 0x06;
}
MUTATION(aes256_ccm)
{
    info(r)->child[1]->child[0]->data[8] = 0x2f;
}
MUTATION(aes256_cbc)
{
    info(r)->child[1]->child[0]->data[8] = 0x2a;
    replace(&info(r)->child[1]->child[1], prim(0x04, "0123456789abcdef", 16));
}
MUTATION(chacha20)
{
    OID(info(r)->child[1]->child[0], 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x10, 0x03,
        0x12);
}
MUTATION(content_signed_data)
{
    info(r)->child[0]->data[8] = 0x02;
}
MUTATION(content_detached)
{
    drop(info(r), 2);
}
MUTATION(content_empty)
{
    resize(info(r)->child[2], 0);
}
MUTATION(content_constructed)
{
    struct node *inner = prim(0x04, "0123456789", 10);
    replace(&info(r)->child[2], cons(0xa0, inner, NULL));
}
MUTATION(kdf_sha1)
{
    OID(kari(r)->child[2]->child[0], 0x2b, 0x81, 0x05, 0x10, 0x86, 0x48, 0x3f, 0x00, 0x02);
}
MUTATION(kdf_sha224)
{
    kari(r)->child[2]->child[0]->data[5] = 0x00;
}
MUTATION(kdf_cofactor)
{
    kari(r)->child[2]->child[0]->data[4] = 0x0e;
}
MUTATION(wrap_3des)
{
    struct node *wrap = kari(r)->child[2]->child[1];
    OID(wrap->child[0], 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x10, 0x03, 0x06);
    append(wrap, prim(0x05, "", 0));
}
MUTATION(wrap_aes128)
{
    kari(r)->child[2]->child[1]->child[0]->data[8] = 0x05;
}
MUTATION(wrap_aes192)
{
    kari(r)->child[2]->child[1]->child[0]->data[8] = 0x19;
}
MUTATION(wrap_params)
{
    append(kari(r)->child[2]->child[1], prim(0x05, "", 0));
}
MUTATION(rsa_recipient)
{
    struct node *ktri = cons(0x30, prim(0x02, "\x02", 1), prim(0x80, "01234567890123456789", 20));
    append(ktri, cons(0x30, prim(0x06, "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01", 9), NULL));
    append(ktri, prim(0x04, "x", 1));
    replace(&set(r)->child[0], ktri);
}
MUTATION(kek_recipient)
{
    struct node *kekri = cons(0xa2, prim(0x02, "\x04", 1), cons(0x30, prim(0x04, "k", 1), NULL));
    replace(&set(r)->child[0], kekri);
}
MUTATION(password_recipient)
{
    struct node *pwri = cons(0xa3, prim(0x02, "\x00", 1), prim(0x04, "x", 1));
    replace(&set(r)->child[1], pwri);
}
MUTATION(other_recipient)
{
    set(r)->child[1]->tag = 0xa4;
}
MUTATION(issuer_and_serial)
{
    replace(&rek(r)->child[0], cons(0x30, cons(0x30, NULL, NULL), prim(0x02, "\x01", 1)));
}
MUTATION(recipient_with_date)
{
    append(rek(r)->child[0], prim(0x18, "20261122000000Z", 15));
}
MUTATION(short_key_id)
{
    resize(rek(r)->child[0]->child[0], 19);
}
MUTATION(long_key_id)
{
    resize(rek(r)->child[0]->child[0], 32);
}
MUTATION(wrapped_key_24)
{
    resize(rek(r)->child[1], 24);
}
MUTATION(wrapped_key_48)
{
    resize(rek(r)->child[1], 48);
}
MUTATION(two_keys_in_one)
{
    append(kari(r)->child[3], copy(rek(r)));
}
MUTATION(no_key_in_one)
{
    drop(kari(r)->child[3], 0);
}
MUTATION(kari_version_2)
{
    kari(r)->child[0]->data[0] = 2;
}
MUTATION(kari_trailing)
{
    append(kari(r), prim(0x04, "x", 1));
}
MUTATION(key_material)
{
    insert(kari(r), 2, cons(0xa1, prim(0x04, "ukm", 3), NULL));
}
MUTATION(static_originator)
{
    replace(&kari(r)->child[1]->child[0], prim(0x80, "01234567890123456789", 20));
}
MUTATION(originator_by_issuer)
{
    replace(&kari(r)->child[1]->child[0], cons(0x30, cons(0x30, NULL, NULL), NULL));
}
MUTATION(originator_with_curve)
{
    append(originator(r)->child[0], prim(0x06, "\x2b\x81\x04\x00\x22", 5));
}
MUTATION(originator_p384)
{
    resize(originator(r)->child[1], 98);
}
MUTATION(originator_compressed)
{
    resize(originator(r)->child[1], 34);
    originator(r)->child[1]->data[1] = 2;
}
MUTATION(originator_unused_bits)
{
    originator(r)->child[1]->data[0] = 1;
}
MUTATION(originator_x25519)
{
    OID(originator(r)->child[0]->child[0], 0x2b, 0x65, 0x6e);
}
MUTATION(no_recipient)
{
    while (set(r)->count > 0)
        drop(set(r), 0);
}
MUTATION(out_of_order)
{
    struct node *first = set(r)->child[0];
    set(r)->child[0] = set(r)->child[1];
    set(r)->child[1] = first;
}
MUTATION(recipients_201)
{
    while (set(r)->count > 1)
        drop(set(r), 1);
    while (set(r)->count < KF_RECIPIENTS_MAX + 1)
        append(set(r), copy(kari(r)));
}
MUTATION(recipients_as_sequence)
{
    set(r)->tag = 0x30;
}
MUTATION(version_2)
{
    body(r)->child[0]->data[0] = 2;
}
MUTATION(version_long)
{
    OID(body(r)->child[0], 0, 0);
}
MUTATION(originator_info)
{
    insert(body(r), 1, cons(0xa0, cons(0xa0, NULL, NULL), NULL));
}
MUTATION(auth_attrs)
{
    insert(body(r), 3, cons(0xa1, cons(0x30, NULL, NULL), NULL));
}
MUTATION(unauth_attrs)
{
    append(body(r), cons(0xa2, cons(0x30, NULL, NULL), NULL));
}
MUTATION(after_body)
{
    append(r->child[1], prim(0x05, "", 0));
}
MUTATION(after_content)
{
    append(r, prim(0x05, "", 0));
}
MUTATION(enveloped_data)
{
    OID(r->child[0], 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x03);
}
MUTATION(indefinite_outer)
{
    r->form = INDEFINITE;
}
MUTATION(indefinite_set)
{
    set(r)->form = INDEFINITE;
}
MUTATION(long_length_outer)
{
    r->form = LONG_LENGTH;
}
MUTATION(long_length_tag)
{
    body(r)->child[3]->form = LONG_LENGTH;
}
MUTATION(long_length_version)
{
    body(r)->child[0]->form = LONG_LENGTH;
}
MUTATION(outer_set)
{
    r->tag = 0x31;
}
MUTATION(oversized)
{
    resize(info(r)->child[2], KF_ENVELOPE_MAX);
}

#define ROW(fn, text)                                                                              \
    {                                                                                              \
#fn, fn, text                                                                              \
    }
static const struct {
    const char *name;
    void (*change)(struct node *root);
    const char *text;
} rows[] = {
    ROW(tag_0, "tag has not 16"),
    ROW(tag_1, "tag has not 16"),
    ROW(tag_4, "tag has not 16"),
    ROW(tag_8, "tag has not 16"),
    ROW(tag_12, "tag has not 16"),
    ROW(tag_13, "tag has not 16"),
    ROW(tag_15, "tag has not 16"),
    ROW(tag_17, "tag has not 16"),
    ROW(no_tag, "tag has not 16"),
    ROW(icv_4, "tag length parameter"),
    ROW(icv_12, "tag length parameter"),
    ROW(icv_15, "tag length parameter"),
    ROW(icv_long, "tag length parameter"),
    ROW(icv_default, "tag length parameter"),
    ROW(icv_and_tag_12, "tag length parameter"),
    ROW(nonce_8, "nonce"),
    ROW(nonce_16, "nonce"),
    ROW(nonce_empty, "nonce"),
    ROW(gcm_extra, "tag length parameter"),
    ROW(aes128_gcm, "not encrypted with AES-256-GCM"),
    ROW(aes256_ccm, "not encrypted with AES-256-GCM"),
    ROW(aes256_cbc, "not encrypted with AES-256-GCM"),
    ROW(chacha20, "not encrypted with AES-256-GCM"),
    ROW(content_signed_data, "not of type data"),
    ROW(content_detached, "no encrypted content"),
    ROW(content_empty, "content is empty"),
    ROW(content_constructed, "no encrypted content"),
    ROW(kdf_sha1, "key derivation"),
    ROW(kdf_sha224, "key derivation"),
    ROW(kdf_cofactor, "key derivation"),
    ROW(wrap_3des, "key wrap"),
    ROW(wrap_aes128, "key wrap"),
    ROW(wrap_aes192, "key wrap"),
    ROW(wrap_params, "key wrap"),
    ROW(rsa_recipient, "key agreement"),
    ROW(kek_recipient, "key agreement"),
    ROW(password_recipient, "key agreement"),
    ROW(other_recipient, "key agreement"),
    ROW(issuer_and_serial, "key identifier"),
    ROW(recipient_with_date, "key identifier"),
    ROW(short_key_id, "key identifier"),
    ROW(long_key_id, "key identifier"),
    ROW(wrapped_key_24, "40 octets"),
    ROW(wrapped_key_48, "40 octets"),
    ROW(two_keys_in_one, "exactly one"),
    ROW(no_key_in_one, "exactly one"),
    ROW(kari_version_2, "version of a recipient"),
    ROW(kari_trailing, "trailing members"),
    ROW(key_material, "key derivation"),
    ROW(static_originator, "not an ephemeral key"),
    ROW(originator_by_issuer, "not an ephemeral key"),
    ROW(originator_with_curve, "not a plain elliptic curve key"),
    ROW(originator_p384, "point of P-256"),
    ROW(originator_compressed, "point of P-256"),
    ROW(originator_unused_bits, "point of P-256"),
    ROW(originator_x25519, "not a plain elliptic curve key"),
    ROW(no_recipient, "no recipient"),
    ROW(out_of_order, "DER order"),
    ROW(recipients_201, "more than 200"),
    ROW(recipients_as_sequence, "no set of recipients"),
    ROW(version_2, "version is not 0"),
    ROW(version_long, "version is not 0"),
    ROW(originator_info, "originator information"),
    ROW(auth_attrs, "authenticated attributes"),
    ROW(unauth_attrs, "behind the tag"),
    ROW(after_body, "not one DER sequence"),
    ROW(after_content, "not one DER sequence"),
    ROW(enveloped_data, "not AuthEnvelopedData"),
    ROW(indefinite_outer, "not one DER sequence"),
    ROW(indefinite_set, "no set of recipients"),
    ROW(long_length_outer, "not one DER sequence"),
    ROW(long_length_tag, "tag has not 16"),
    ROW(long_length_version, "version is not 0"),
    ROW(outer_set, "not one DER sequence"),
    ROW(oversized, "longer than"),
};

static int setup(void **state)
{
    (void)state;
    f.dir = temp_dir();
    f.err = CM_ERR_INIT;
    make_identity(f.dir, "one", &f.one);
    make_identity(f.dir, "two", &f.two);
    X509 *recipients[] = {f.one.seal_cert, f.two.seal_cert};
    OK(kf_seal("a secret", 8, recipients, 2, &f.good, &f.good_len, &f.err), f.err);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cm_free(f.good);
    kf_identity_fini(&f.one);
    kf_identity_fini(&f.two);
    remove_dir(f.dir);
    return 0;
}

static struct node *good_tree(void)
{
    const uint8_t *at = f.good;
    struct node *root = parse(&at);
    assert_ptr_equal(at, f.good + f.good_len);
    return root;
}

static void accepts_the_good_one(void **state)
{
    (void)state;
    struct kf_envelope envelope;
    struct cm_buf again;
    cm_buf_init(&again, KF_ENVELOPE_MAX);
    struct node *root = good_tree();
    encode(root, &again); /* taking apart and putting together changes nothing of itself */
    assert_int_equal(again.len, f.good_len);
    assert_memory_equal(again.data, f.good, f.good_len);
    OK(kf_envelope_check(f.good, f.good_len, &envelope, &f.err), f.err);
    assert_int_equal(envelope.recipient_count, 2);
    assert_int_equal(envelope.content_len, 8);
    uint8_t ski[KF_SKI_SIZE] = {0};
    assert_false(kf_envelope_lists(&envelope, ski));
    memcpy(ski, ASN1_STRING_get0_data(X509_get0_subject_key_id(f.two.seal_cert)), KF_SKI_SIZE);
    assert_true(kf_envelope_lists(&envelope, ski));
    cm_buf_fini(&again);
    node_free(root);
}

static void reads_it_as_documents_carry_it(void **state)
{
    struct kf_envelope envelope;
    uint8_t *der;
    (void)state;
    CM_AUTO_STR text = cm_b64(f.good, f.good_len);
    OK(kf_envelope_read(text, &der, &envelope, &f.err), f.err);
    assert_memory_equal(der, f.good, f.good_len);
    assert_true(kf_envelope_lists(&envelope, envelope.ski[0]));
    cm_free(der);
    CM_AUTO_STR cut = cm_b64(f.good, f.good_len - 1);
    CM_AUTO_STR huge = cm_malloc(2 * KF_ENVELOPE_MAX + 2);
    memset(huge, 'A', 2 * KF_ENVELOPE_MAX + 1);
    huge[2 * KF_ENVELOPE_MAX + 1] = '\0';
    REFUSED(kf_envelope_read(cut, &der, &envelope, &f.err), CM_EMALF, "envelope", f.err);
    assert_null(der);
    REFUSED(kf_envelope_read("", &der, &envelope, &f.err), CM_EMALF, "base64", f.err);
    REFUSED(kf_envelope_read("?", &der, &envelope, &f.err), CM_EMALF, "base64", f.err);
    REFUSED(kf_envelope_read(huge, &der, &envelope, &f.err), CM_ELIMIT, "longer", f.err);
    assert_null(der);
}

static void refuses_every_mutation(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct kf_envelope envelope;
        struct kf_secret plain;
        struct cm_buf der;
        char line[2048];
        cm_buf_init(&der, 2u << 20);
        struct node *root = good_tree();
        rows[i].change(root);
        encode(root, &der);
        node_free(root);
        int rc = kf_envelope_check((const uint8_t *)der.data, der.len, &envelope, &f.err);
        cm_err_line(&f.err, line, sizeof(line));
        if (rc >= 0 || !strstr(line, rows[i].text))
            fail_msg("%s: %d \"%s\", expected \"%s\"", rows[i].name, rc, line, rows[i].text);
        cm_err_fini(&f.err);
        /* The same refusal in front of libcrypto, which was never asked. */
        ERR_clear_error();
        rc = kf_open((const uint8_t *)der.data, der.len, f.one.seal, f.one.seal_cert, &plain,
                     &f.err);
        cm_err_line(&f.err, line, sizeof(line));
        if (rc >= 0 || plain.data || !strstr(line, rows[i].text) || ERR_peek_error() != 0)
            fail_msg("%s reached libcrypto: %d \"%s\"", rows[i].name, rc, line);
        cm_err_fini(&f.err);
        cm_buf_fini(&der);
    }
}

static void refuses_every_truncation_and_appendix(void **state)
{
    (void)state;
    struct kf_envelope envelope;
    for (size_t len = 0; len < f.good_len; len++) {
        uint8_t *cut = cm_memdup(f.good, len ? len : 1); /* exact, for AddressSanitizer */
        assert_true(kf_envelope_check(cut, len, &envelope, NULL) < 0);
        cm_free(cut);
    }
    uint8_t *more = cm_calloc(1, f.good_len + 1);
    memcpy(more, f.good, f.good_len);
    REFUSED(kf_envelope_check(more, f.good_len + 1, &envelope, &f.err), CM_EMALF, "behind it",
            f.err);
    cm_free(more);
}

/* A length with every high bit set must not wrap around. */
static void refuses_huge_lengths(void **state)
{
    (void)state;
    struct kf_envelope envelope;
    static const uint8_t heads[][10] = {
        {0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 0x06, 0x01, 0x00, 0x00},
        {0x30, 0x88, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
        {0x30, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
    };
    for (size_t i = 0; i < 3; i++)
        REFUSED(kf_envelope_check(heads[i], sizeof(heads[i]), &envelope, &f.err), CM_EMALF,
                "not one DER sequence", f.err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepts_the_good_one),
        cmocka_unit_test(reads_it_as_documents_carry_it),
        cmocka_unit_test(refuses_every_mutation),
        cmocka_unit_test(refuses_every_truncation_and_appendix),
        cmocka_unit_test(refuses_huge_lengths),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
