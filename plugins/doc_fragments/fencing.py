# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options that say how a host is fenced."""

from __future__ import annotations

import textwrap


class ModuleDocFragment:
    """The fencing levels of one host, and the identity of its machine."""

    DOCUMENTATION = r"""
options:
  host:
    description: The compute host, by its inventory name.
    type: str
    required: true
  levels:
    description:
      - How the host is switched off, in this order. The inventory plugin sets it as C(ha_fencing).
      - The next level is used when a level fails.
      - Which options a device takes depends on its O(levels[].devices[].method); all others are refused.
    type: list
    elements: dict
    default: []
    suboptions:
      timeout:
        description:
          - Seconds for one try of the whole level, greater than 0; V(30) by default.
          - With V(kdump), seconds after which a dump is no longer waited for; V(300) by default.
          - Not with V(watchdog) and V(operator).
        type: float
      tries:
        description:
          - How often the level is tried, at least once; V(2) by default.
          - After an answer that another try cannot change, such as a wrong password told by Redfish, it is not
            tried again.
          - Not with V(kdump), V(watchdog) and V(operator).
        type: int
      devices:
        description:
          - The devices of the level. All of them must succeed, for example both power supplies.
          - The methods V(kdump), V(watchdog) and V(operator) stand alone in their level.
        type: list
        elements: dict
        required: true
        suboptions:
          method:
            description:
              - V(ipmi) talks to a BMC with C(ipmitool).
              - V(redfish) talks to a BMC over HTTPS.
              - V(fence_agent) runs any fence agent of ClusterLabs that has the actions C(off) and C(status).
              - V(kdump) waits while the host's crash kernel writes a dump, and then leaves the host to the next level.
                Only with O(levels[].devices[].accept) it proves anything by itself.
              - V(watchdog) waits until the agent on the host must have reset the machine. Only in a run, with
                C(run_id).
              - V(operator) stops here and asks for a person's confirmation. It has no options.
            type: str
            required: true
            choices: [fence_agent, ipmi, kdump, operator, redfish, watchdog]
          address:
            description:
              - With V(ipmi), the host name or address of the BMC.
              - With V(redfish), a host name, an address, or a URL such as C(https://192.0.2.11:8443).
              - Required for both.
            type: str
          port:
            description:
              - With V(ipmi), the UDP port of the BMC, V(623) by default.
              - With V(kdump), the UDP port of this machine at which C(fence_kdump) messages arrive, V(7410) by default.
            type: int
          username:
            description: Name of the BMC's user. Required for V(ipmi) and V(redfish).
            type: str
          password:
            description:
              - Password of the BMC's user. Required for V(ipmi) and V(redfish).
              - Never seen in the list of processes, in results or in the journal.
            type: str
          cipher_suite:
            description: Cipher suite of IPMI 2.0, V(17) by default. Older BMCs need V(3). Only with V(ipmi).
            type: int
          privilege:
            description:
              - Privilege level of the session, V(administrator) by default. V(operator) is enough on most BMCs.
              - Only with V(ipmi).
            type: str
            choices: [user, operator, administrator]
          system:
            description:
              - Identifier or path of the system, such as V(/redfish/v1/Systems/1).
              - May be left out when the service has exactly one. Naming it saves one request. Only with V(redfish).
            type: str
          validate_certs:
            description: Whether the TLS certificate is verified, V(true) by default. Only with V(redfish).
            type: bool
          ca_path:
            description: File with the certificates of the CA that signed the BMC's one. Only with V(redfish).
            type: path
          use_proxy:
            description: Whether the proxy of the environment is used, V(false) by default. Only with V(redfish).
            type: bool
          agent:
            description: Name of the program, for example V(fence_apc_snmp). Required for V(fence_agent).
            type: str
          options:
            description:
              - Options of the agent, named as in its manual page, for example C(ip) and C(plug).
              - Always name the plug or the system, also where the agent would pick one by itself.
              - Only with V(fence_agent).
            type: dict
          secrets:
            description:
              - Options of the agent that nobody may see, for example C(password). Only with V(fence_agent).
              - The agent gets them on its standard input. Some agents hand them on to other programs on the command
                line, where a user of the controller can see them. C(fence_ipmilan) does, so prefer V(ipmi) to it.
            type: dict
          from:
            description:
              - The host's own addresses, from which its crash kernel sends. Never those of the BMC.
              - Required for V(kdump), and only with it.
            type: list
            elements: str
          listen:
            description:
              - This machine's addresses at which the messages arrive.
              - By default, for each address of the host, the one that this machine would use to talk to it. Name
                others, such as a virtual address, here. Only with V(kdump).
            type: list
            elements: str
          first:
            description:
              - Seconds to wait for the first message, V(15) by default. Nothing heard means that no dump is written.
              - C(fence_kdump_send) sends every 10 seconds by default. Only with V(kdump).
            type: float
          quiet:
            description:
              - Seconds without another message after which the dump counts as written, V(25) by default.
              - Keep it above the interval of the messages. Only with V(kdump).
            type: float
          accept:
            description:
              - Whether the first message proves that the host is dead, V(false) by default. Its VMs are then evacuated
                while the dump is written, and its power is not cut.
              - Whoever can send a datagram from an address of the host to this machine can then have its VMs started a
                second time. Only with V(kdump).
            type: bool
          heartbeat_interval:
            description: Seconds between two heartbeats of the host's agent, V(15) by default. Only with V(watchdog).
            type: float
          heartbeat_timeout:
            description: Seconds for which the agent waits for an answer, V(5) by default. Only with V(watchdog).
            type: float
          threshold:
            description: Heartbeats in a row that must fail, V(3) by default. Only with V(watchdog).
            type: int
          peer_time:
            description:
              - Seconds that the agent takes to find out that no majority of the responders hears it, V(30) by default.
              - Only with V(watchdog).
            type: float
          device_timeout:
            description:
              - Seconds after which the watchdog device resets a machine that does not feed it, V(60) by default.
              - Only with V(watchdog).
            type: float
          safe_time:
            description:
              - Seconds of silence after which the machine has been reset. By default, and at the least, (interval +
                timeout) * threshold + peer time + device timeout + 30. Less is refused. Only with V(watchdog).
            type: float
  identity:
    description:
      - The machine that the devices must report. Compared before anything is switched off.
      - IPMI tells the UUID only, and fence agents tell neither.
    type: dict
    default: {}
    suboptions:
      uuid:
        description:
          - System UUID, as C(dmidecode -s system-uuid) shows it on the host.
          - All byte orders in which BMCs are known to report it are accepted.
        type: str
      serial:
        description: Serial number, compared without regard to case.
        type: str
requirements:
  - ipmitool, for the method V(ipmi)
  - the fence agent, for the method V(fence_agent)
"""


_LEVELS = (
    ModuleDocFragment.DOCUMENTATION.partition("  levels:\n")[2]
    .partition("  identity:\n")[0]
    .partition("    suboptions:\n")[2]
)

# Not in the class: ansible-test reads only plain strings there.
ModuleDocFragment.EVACUATED = (  # type: ignore[attr-defined]
    r"""
options:
  fencing:
    description:
      - How the hosts were fenced. The devices that have proven a host off are read again every few seconds; one that
        reports it on is a sign of life. Nothing is ever switched with it.
      - A host that is not named here is watched in Nova and at its probe only.
    type: list
    elements: dict
    default: []
    suboptions:
      host:
        description: The fenced host, by its inventory name.
        type: str
        required: true
      levels:
        description: The same as O(openstack_ha.recovery.host_fence#module:levels).
        type: list
        elements: dict
        default: []
        suboptions:
"""
    + textwrap.indent(_LEVELS, "    ").replace("O(levels", "O(fencing[].levels")
)
