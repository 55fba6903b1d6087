/* Numbers tell where they were made, and nobody else's do. */
#include "keyfile/maker.h"

#include "tests/unit/keyfile/support.h"

static void a_number_ends_with_its_servers_mark(void **state)
{
    (void)state;
    char mark[KF_MARK_TEXT], other[KF_MARK_TEXT], one[CM_ULID_TEXT], two[CM_ULID_TEXT];
    kf_maker_mark("alpha.example", mark);
    kf_maker_mark("alpha.exampl", other);
    assert_int_equal(strlen(mark), 8);
    assert_string_not_equal(mark, other);
    assert_string_equal(mark, "WKP9J00Z"); /* stored numbers depend on it */
    for (int i = 0; i < 1000; i++) {
        kf_maker_ulid("alpha.example", one);
        kf_maker_ulid("alpha.example", two);
        assert_true(cm_ulid_ok(one));
        assert_string_equal(one + 18, mark);
        assert_string_not_equal(one, two);
    }
}

static void the_longest_name_has_a_mark_of_its_own(void **state)
{
    (void)state;
    char name[KF_NAME_MAX], one[KF_MARK_TEXT], two[KF_MARK_TEXT];
    memset(name, 'a', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    kf_maker_mark(name, one);
    name[sizeof(name) - 2] = 'b';
    kf_maker_mark(name, two);
    assert_string_not_equal(one, two);
}

static void the_fleet_knows_whose_it_is(void **state)
{
    (void)state;
    struct kf_identity alpha, bravo;
    char *dir = temp_dir();
    make_identity(dir, "alpha", &alpha);
    make_identity(dir, "bravo", &bravo);
    struct kf_trust *trust = admit(&alpha, found(&alpha), &bravo);
    char ulid[CM_ULID_TEXT];
    kf_maker_ulid("bravo", ulid);
    assert_string_equal(kf_maker_of(trust, ulid)->name, "bravo");
    kf_maker_ulid("alpha", ulid);
    assert_string_equal(kf_maker_of(trust, ulid)->name, "alpha");
    kf_maker_ulid("charlie", ulid);
    assert_null(kf_maker_of(trust, ulid));
    assert_null(kf_maker_of(trust, "01JD0000000000000000000000"));
    assert_null(kf_maker_of(trust, "short"));
    assert_null(kf_maker_of(trust, ""));
    kf_trust_free(trust);
    kf_identity_fini(&bravo);
    kf_identity_fini(&alpha);
    remove_dir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_number_ends_with_its_servers_mark),
        cmocka_unit_test(the_longest_name_has_a_mark_of_its_own),
        cmocka_unit_test(the_fleet_knows_whose_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
