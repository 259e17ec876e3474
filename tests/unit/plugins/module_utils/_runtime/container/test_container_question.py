# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which containers a question is about."""

from __future__ import annotations

import pytest
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container import info
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.errors import InvalidInput

FOUND = {"status": "running", "labels": {"team": "shop", "a=b": "c=d", "empty": ""}}


@pytest.mark.parametrize(
    ("labels", "takes"),
    [
        ([], True),
        (["team"], True),
        (["team=shop"], True),
        (["team=shop", "empty"], True),
        (["empty="], True),
        (["a=b"], True),
        (["a=b=c=d"], True),
        (["team="], False),
        (["team=sho"], False),
        (["shop"], False),
        (["team", "tier"], False),
    ],
)
def test_labels_that_a_container_must_have(labels, takes):
    assert info.Question({"filters": {"label": labels}}).takes(FOUND) is takes


def test_what_is_absent_has_no_labels():
    assert not info.Question({"filters": {"label": ["team"]}}).takes({"status": "absent"})
    assert info.Question({"filters": {"label": None}}).takes({"status": "absent"})


@pytest.mark.parametrize("labels", ["team", {"team": "shop"}, [True], ["a\0b"]])
def test_what_is_no_list_of_labels_is_refused(labels):
    with pytest.raises(InvalidInput, match=r"filters\.label"):
        info.Question({"filters": {"label": labels}})
