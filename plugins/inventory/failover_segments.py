# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Failover segments from one YAML file and live Nova."""

from __future__ import annotations

DOCUMENTATION = r"""
name: failover_segments
short_description: Failover segments and their compute hosts, from one YAML file and live Nova
version_added: 0.1.0
author: openstack_ha.recovery maintainers (@openstack-ha)
description:
  - Reads which compute hosts form a failover segment, which of them are reserved, and how each is fenced, and joins
    that with what Nova says about the hosts.
  - The name of the file must end in C(failover_segments.yml) or C(failover_segments.yaml).
  - The inventory name of a host is its service host, the column Host of C(openstack compute service list). Wherever the
    file names a host, the service host, the hypervisor hostname, or a short name that only one host has may be used.
  - Sets the host variables C(ha_segment), C(ha_role), C(ha_service_id), C(ha_service_host), C(ha_service_state),
    C(ha_service_status), C(ha_disabled_reason), C(ha_forced_down), C(ha_hypervisor_hostname), C(ha_hypervisor_id),
    C(ha_host_ip), C(ha_zone), C(ha_failure_domain), C(ha_capacity), C(ha_fencing), C(ha_identity) and C(ha_probe).
  - Sets the variable C(ha_topology) on the group C(all), with the segments and their hosts, but without fencing, and
    the variable C(ha_connection) with the connection options that the file has, for the tasks of the playbooks.
  - Reads and checks the policy file together with the segments file, and sets the variables C(ha_policy), complete with
    all defaults, C(ha_policy_hash) and C(ha_segments_hash) on the group C(all). What can stand in the policy file, and
    what holds without one, is in C(docs/policy.md) of the collection.
  - Makes the groups C(failover_segments) with every host that is in a segment, C(segment_<name>) where C(-) and C(.)
    become C(_), C(ha_reserved), C(ha_down), C(ha_forced_down), C(ha_maintenance) for hosts whose nova-compute is
    disabled with a reason that contains C(maintenance), and C(ha_unassigned) for compute hosts that are in no segment.
  - Anything unknown, ill-typed or contradictory in either file is an error that starts with the path of the wrong key,
    and nothing is added to the inventory. All that is wrong is told at once, a line each. Ansible reports errors of
    inventory sources as warnings and goes on with an empty inventory, unless C(any_unparsed_is_failed) is set in the
    section C([inventory]) of C(ansible.cfg).
  - Needs 3 API calls on a cloud of up to 1,000 hypervisors, and one more for every 1,000 after that, or for every
    page where C(osapi_max_limit) of Nova is lower.
notes:
  - Templates, lookups and C(!vault) values stay unresolved in the variables, and C(ansible-inventory --list) shows them
    as they are written. Those of the connection options are resolved only to ask Nova; those of fencing not at all.
    Secrets that stand in the file in plain text, or in a file that is encrypted as a whole, are shown.
  - With O(cache) the answers of Nova are cached, and may be out of date, also in the groups C(ha_down) and
    C(ha_forced_down). The contents of the files are never cached. Recovery never decides by cached states; it asks Nova
    again.
requirements:
  - jsonschema, if there is a policy file
  - netaddr
extends_documentation_fragment:
  - openstack_ha.recovery.cloud
  - ansible.builtin.constructed
  - ansible.builtin.inventory_cache
options:
  plugin:
    description: Marks the file as input of this plugin.
    type: str
    required: true
    choices: [openstack_ha.recovery.failover_segments]
  policy_file:
    description:
      - The policy file. A relative path starts at the directory of this file.
      - The default is C(ha_policy.yml) beside this file if that exists; without it, all defaults of the policy hold.
    type: str
  segments:
    description:
      - The failover segments by name. Names are made of letters, digits, C(_), C(-) and C(.).
      - >-
        Exactly one of O(segments.hosts), O(segments.aggregate), O(segments.availability_zone) and
        O(segments.aggregate_metadata) says which hosts are in a segment.
      - A host can be in one segment only, and a segment must have a host.
    type: dict
    required: true
    suboptions:
      hosts:
        description: The hosts, by name.
        type: list
        elements: str
      aggregate:
        description: The hosts of the host aggregate with this name.
        type: str
      availability_zone:
        description: The hosts of this availability zone.
        type: str
      aggregate_metadata:
        description: The hosts of all host aggregates whose metadata has all these keys with these strings as values.
        type: dict
      reserved_hosts:
        description: Hosts with the role C(reserved), by name. They are added to the segment if they are not in it.
        type: list
        elements: str
        default: []
      reserved_aggregate:
        description: Hosts of the segment that are in the host aggregate with this name have the role C(reserved), too.
        type: str
      recovery_method:
        description: Where the instances of a failed host go, as in Masakari.
        type: str
        default: auto
        choices:
          auto: To the active hosts of the segment.
          reserved_host: To a reserved host.
          auto_priority: To the active hosts, and if that fails to a reserved host.
          rh_priority: To a reserved host, and if that fails to the active hosts.
      shared_storage:
        description:
          - Whether the local disks of instances survive their host, because all hosts of the segment share the storage
            that they are on.
        type: bool
        default: false
      allow_local_disk_loss:
        description:
          - Whether instances are evacuated although their local disks died with the host and are made anew.
        type: bool
        default: false
      protect:
        description:
          - Whether instances that say nothing themselves are recovered.
          - The default is C(vms.protect) of the policy, which is V(true) if it says nothing.
        type: bool
      priority:
        description:
          - Priority class of instances that say nothing themselves, from 0 to 1000, higher ones first.
          - The default is C(vms.priority) of the policy, which is V(500) if it says nothing.
        type: int
      failure_domain:
        description: What its hosts share and may lose together, for example a rack. A host can override it.
        type: str
      fencing:
        description: Fencing levels of its hosts, instead of those of O(fencing).
        type: list
        elements: dict
  fencing:
    description:
      - Fencing levels of all hosts for which neither O(hosts.fencing) nor O(segments.fencing) gives others. Levels
        are tried in order; all devices of a level must succeed.
      - Each level has C(devices), C(timeout) (seconds for one try of one device) and C(tries). Each device has a
        C(method) and its options, as in M(openstack_ha.recovery.host_fence). Every value can be a template, and
        can use the variables of the host.
    type: list
    elements: dict
    default: []
  hosts:
    description: What is special about single hosts, by name. It does not make them members of a segment.
    type: dict
    default: {}
    suboptions:
      failure_domain:
        description: Instead of the one of its segment.
        type: str
      fencing:
        description: Its fencing levels, instead of those of its segment or of the file.
        type: list
        elements: dict
      identity:
        description: What its BMC must report about the machine before it is powered off.
        type: dict
        suboptions:
          uuid:
            description: The system UUID.
            type: str
          serial:
            description: The serial number of the system.
            type: str
      probe:
        description:
          - What answers while the host lives, as C(tcp://address:port).
          - The default is port 22 of the address that the hypervisor reports, unless that is a loopback or unspecified
            address, or no address.
        type: list
        elements: str
"""

EXAMPLES = r"""
# prod.failover_segments.yml: one segment, its hosts named, one of them kept free
plugin: openstack_ha.recovery.failover_segments
cloud: prod
segments:
  rack1:
    hosts: [cmp01, cmp02, cmp03]
    reserved_hosts: [cmp09]
    recovery_method: auto_priority
    shared_storage: true
    failure_domain: rack-a
fencing:
  - timeout: 30
    tries: 2
    devices:
      - method: ipmi
        address: "{{ inventory_hostname }}-bmc.example.net"
        username: fencer
        password: "{{ lookup('ansible.builtin.file', '/etc/openstack_ha/bmc_password') }}"

---
# segments that follow Nova's aggregates and zones, and a host that is fenced in its own way
plugin: openstack_ha.recovery.failover_segments
cloud: prod
segments:
  ceph:
    aggregate_metadata: {ha_segment: ceph}
    reserved_aggregate: spare
    shared_storage: true
  edge:
    availability_zone: edge
    protect: false
fencing:
  - devices:
      - method: redfish
        address: "https://{{ inventory_hostname }}-bmc.example.net"
        username: fencer
        password: "{{ bmc_password }}"
hosts:
  edge7.example.net:
    identity: {uuid: 2d5a9f0e-9f5f-4c5c-8d3d-0d5a1f6f7e11}
    probe: ["tcp://192.0.2.7:22", "tcp://198.51.100.7:16509"]
    fencing:
      - devices:
          - method: operator
# one group for each failure domain, and the answers of Nova kept for a minute
keyed_groups:
  - key: ha_failure_domain
    prefix: domain
    default_value: none
cache: true
cache_plugin: ansible.builtin.jsonfile
cache_connection: /var/cache/openstack_ha/inventory
cache_timeout: 60
"""

import dataclasses
import typing as t

from ansible.errors import AnsibleParserError
from ansible.inventory.data import InventoryData
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.inventory import BaseInventoryPlugin, Cacheable, Constructable

from ansible_collections.openstack_ha.recovery.plugins.module_utils import (
    _cloud,
    _compute,
    _configuration,
    _segments,
)
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import RecoveryError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._segments_file import SegmentsFile


class InventoryModule(BaseInventoryPlugin, Constructable, Cacheable):
    """Inventory plugin; see DOCUMENTATION."""

    NAME = _configuration.PLUGIN

    def verify_file(self, path: str) -> bool:
        """Whether this source is ours, by its name."""
        return path.endswith(_configuration.SEGMENTS_FILES) and super().verify_file(path)

    def parse(self, inventory: InventoryData, loader: DataLoader, path: str, cache: bool = True) -> None:
        """Read the file, ask Nova, and add hosts, groups and variables."""
        super().parse(inventory, loader, path, cache)
        config = self._read_config_data(path)
        try:
            given = self._check(config, loader, path)
            hosts, aggregates = self._nova(self.get_cache_key(path), cache)
            members = _segments.assign(given.segments, hosts, aggregates)
            self._populate(given.segments, members)
        except RecoveryError as error:
            raise AnsibleParserError(error.message) from None
        self._tell(config, given)

    def _check(self, config: t.Mapping[str, t.Any], loader: DataLoader, path: str) -> _configuration.Configuration:
        policy_path = _configuration.policy_path(path, self.get_option("policy_file"))
        policy = _configuration.File(policy_path, loader.get_text_file_contents(policy_path)) if policy_path else None
        # Ansible names the segments file in its message.
        segments = _configuration.File("", loader.get_text_file_contents(path))
        return _configuration.parse(config, segments, policy, self._other_keys())

    def _tell(self, config: t.Mapping[str, t.Any], given: _configuration.Configuration) -> None:
        variables = {
            "ha_connection": connection(config),
            "ha_policy": given.policy.values,
            "ha_policy_hash": given.policy.hash,
            "ha_segments_hash": given.segments_hash,
        }
        for name, value in variables.items():
            self.inventory.set_variable("all", name, value)
        for warning in given.policy.warnings:
            self.display.warning(f"{_configuration.POLICY_FILE}: {warning}")

    def _other_keys(self) -> set[str]:
        definitions = self.option_definitions
        return {name for option, definition in definitions.items() for name in (option, *definition.get("aliases", ()))}

    def _nova(self, key: str, cache: bool) -> tuple[list[_segments.ComputeHost], list[_segments.Json]]:
        """The facts from the cache if that is wanted and possible, else from Nova; only they are ever cached."""
        cached = self._cache.get(key) if self.get_option("cache") and cache else None
        facts = cached or self._ask_nova()
        if self.get_option("cache") and not cached:
            self._cache[key] = facts
        return [_segments.ComputeHost(**host) for host in facts["hosts"]], facts["aggregates"]

    def _ask_nova(self) -> _segments.Json:
        self.templar.available_variables = self._vars
        cloud = _cloud.connect({name: self.templar.template(self.get_option(name)) for name in _cloud.CLOUD_SPEC})
        services = _compute.services(cloud, binary="nova-compute")
        hosts = _segments.compute_hosts(services, _compute.hypervisors(cloud))
        aggregates = _segments.aggregate_facts(_compute.aggregates(cloud))
        cloud.remember()
        return {"hosts": [dataclasses.asdict(host) for host in hosts], "aggregates": aggregates}

    def _populate(self, file: SegmentsFile, members: list[_segments.Member]) -> None:
        for group in _segments.all_groups(file):
            self.inventory.add_group(group)
        for segment in file.segments:
            self.inventory.add_child("failover_segments", segment.group)
        self.inventory.set_variable("all", "ha_topology", _segments.topology(file, members))
        for member in members:
            self._add(member)

    def _add(self, member: _segments.Member) -> None:
        name = member.host.name
        variables = _segments.host_variables(member)
        self.inventory.add_host(name)
        for group in _segments.groups_of(member):
            self.inventory.add_child(group, name)
        for variable, value in variables.items():
            self.inventory.set_variable(name, variable, value)
        strict = self.get_option("strict")
        self._set_composite_vars(self.get_option("compose"), variables, name, strict=strict)
        self._add_host_to_composed_groups(self.get_option("groups"), variables, name, strict=strict)
        self._add_host_to_keyed_groups(self.get_option("keyed_groups"), variables, name, strict=strict)


def connection(config: t.Mapping[str, t.Any]) -> _segments.Json:
    """How the file says to connect, for the tasks of a play; unresolved, like the fencing options."""
    names = {alias: name for name, spec in _cloud.CLOUD_SPEC.items() for alias in (name, *spec.get("aliases", ()))}
    return {names[key]: value for key, value in config.items() if key in names}
