# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The credential with which a host or a reporter speaks to the responders."""

from __future__ import annotations

DOCUMENTATION = r"""
name: principal_token
short_description: The credential with which a host or a reporter speaks to the responders
version_added: 0.1.0
author: openstack_ha.recovery maintainers (@openstack-ha)
description:
  - Makes the token of a principal from the current master key of the responders, which stays on the controller.
  - The token is a secret. Give it only to that principal, and use C(no_log) where it goes through a task.
  - Asks nobody, and changes nothing. The same key and principal always give the same token.
options:
  _terms:
    description:
      - The principals. C(host:NAME) speaks about the host NAME and no other, C(reporter:NAME) is a membership engine or
        Masakari's monitors and speaks about many, C(reader:NAME) reads only. A name alone is that of a host.
    type: list
    elements: str
    required: true
  key_file:
    description: The file with the master keys of the responders. The first key in it is the current one.
    type: path
    required: true
"""

EXAMPLES = r"""
- name: Install the credential of the host
  ansible.builtin.copy:
    content: "{{ lookup('openstack_ha.recovery.principal_token', 'host:' ~ inventory_hostname, key_file=keys) }}\n"
    dest: /etc/openstack_ha/token
    owner: root
    group: openstack-ha
    mode: "0640"
  vars:
    keys: ~/.config/openstack_ha/deploy/responder.keys
  no_log: true
  diff: false
"""

RETURN = r"""
_raw:
  description: The token of each principal.
  type: list
  elements: str
"""

import typing as t

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.credentials import (
    Principal,
    read_keys,
    token_of,
)


class LookupModule(LookupBase):
    """Makes tokens; see DOCUMENTATION."""

    def run(self, terms: list[str], variables: t.Any = None, **kwargs: t.Any) -> list[str]:
        """The token of each principal."""
        self.set_options(var_options=variables, direct=kwargs)
        try:
            key = read_keys(self.get_option("key_file"))[0]
            return [token_of(key, str(Principal.parse(term))) for term in terms]
        except ConfigError as error:
            raise AnsibleLookupError(error.message) from None
