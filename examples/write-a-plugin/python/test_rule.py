"""Tests the rule without a host: `python3 -m unittest`."""

import unittest

from rule import NO_CUSTOMER, Refused, Rule, fnv1a32


def place(partitions, key=None, config="{}", **headers):
    return Rule.from_config(config).place(key, partitions, headers.get)


class TheRule(unittest.TestCase):
    def test_the_hash_is_the_published_one(self):
        self.assertEqual(fnv1a32(b""), 0x811C9DC5)
        self.assertEqual(fnv1a32(b"a"), 0xE40C292C)
        self.assertEqual(fnv1a32(b"foobar"), 0xBF9CF968)

    def test_a_vip_customer_stays_on_one_dedicated_partition(self):
        self.assertEqual(place(12, b"c-17", tier=b"vip", region=b"eu"), 2)
        self.assertEqual(place(3, b"c-17", tier=b"vip"), 0)
        with self.assertRaisesRegex(Refused, NO_CUSTOMER):
            place(12, tier=b"vip", region=b"eu")

    def test_all_others_share_the_rest_by_region(self):
        self.assertEqual(place(12, b"c-17", region=b"eu"), 11)
        self.assertEqual(place(12, tier=b"VIP"), 7)
        self.assertEqual(place(1), 0)

    def test_the_config_decides_how_many_are_dedicated_but_one_stays_shared(self):
        self.assertEqual(place(12, b"c-17", '{"dedicated": 2}', tier=b"vip"), 1)
        self.assertEqual(place(4, b"c-17", '{"dedicated": 99}'), 3)
        self.assertEqual(place(1, b"c-17", '{"dedicated": 99}'), 0)

    def test_a_config_with_a_mistake_is_refused_by_the_name_of_the_key(self):
        with self.assertRaisesRegex(ValueError, "unknown key `dedicate`"):
            Rule.from_config('{"dedicate": 2}')
        for wrong in ("0", "-1", "1.5", "4294967296", '"1"', "null", "true"):
            with self.subTest(wrong), self.assertRaisesRegex(ValueError, "`dedicated` must be an integer"):
                Rule.from_config(f'{{"dedicated": {wrong}}}')


if __name__ == "__main__":
    unittest.main()
