# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options of everything that talks to OpenStack."""

from __future__ import annotations


class ModuleDocFragment:
    """Connection options, named as in the collection openstack.cloud."""

    DOCUMENTATION = r"""
options:
  cloud:
    description:
      - Name of the cloud in C(clouds.yaml), or a dictionary with the contents of such an entry.
      - Without it and O(auth), the C(OS_*) environment variables are used.
    type: raw
  auth:
    description: Authentication options as in the C(auth) section of C(clouds.yaml), for example C(auth_url).
    type: dict
  auth_type:
    description: Keystone authentication plugin, for example V(password) or V(v3applicationcredential).
    type: str
  region_name:
    description: Name of the region.
    type: str
  validate_certs:
    description: Whether the TLS certificates of the APIs are verified.
    type: bool
    aliases: [verify]
  ca_cert:
    description: Path of the CA bundle that verifies the APIs.
    type: str
    aliases: [cacert]
  client_cert:
    description: Path of a client certificate.
    type: str
    aliases: [cert]
  client_key:
    description: Path of the key of O(client_cert).
    type: str
    aliases: [key]
  interface:
    description: Which endpoints of the catalog to use.
    type: str
    choices: [admin, internal, public]
    aliases: [endpoint_type]
  api_timeout:
    description: Seconds to wait for the answer to one API call.
    type: int
    default: 60
requirements:
  - openstacksdk >= 4.0.0
"""
