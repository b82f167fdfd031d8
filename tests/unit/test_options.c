/* The words of the VMM's command line. */
#include <criterion/criterion.h>
#include <string.h>

#include "vmm.h"

Test(options, a_switch_is_on_or_off_or_absent)
{
    bool on = true;
    cr_assert_null(option_switch("mode=trap mem=16", "scan", &on));
    cr_assert(on, "an absent key changes nothing");
    cr_assert_null(option_switch("mode=trap scan=off mem=16", "scan", &on));
    cr_assert_not(on);
    cr_assert_null(option_switch("mode=trap scan=on", "scan", &on));
    cr_assert(on);
    cr_assert_null(option_switch("myscan=off", "scan", &on));
    cr_assert(on, "a word that only ends like the key is another key");
}

Test(options, a_switch_refuses_all_else)
{
    static const char *const bad[] = {"scan=", "scan=of", "scan=offf", "scan=ON", "scan=1 umip=on"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        bool on = false;
        const char *why = option_switch(bad[i], "scan", &on);
        cr_assert_not_null(why, "%s is taken", bad[i]);
        cr_assert(!strncmp(why, "scan=", 5), "the sentence does not name the option: %s", why);
    }
}

Test(options, a_long_value_is_refused_too)
{
    bool on = false;
    cr_assert_not_null(option_switch("scan=offfffffffffffffffffffffffffffffffffff", "scan", &on));
}
