"""Groups of volumes that two arrays keep equal at every instant.

The primary serves hosts. It reads its own log and ships the changes of the group to the other member, which makes the same
changes in its own pool. A reply to a host waits until the other member has all changes that were made before. `membership`
decides which member serves; this package makes its decisions durable, carries its messages and moves the data.

group              one group at one member, as hosts use it; begin here
group_table        the groups of an array, and the requests of its peers
group_states       the states of a member for hosts, and the errors of a group
group_records      what a member keeps in the pool      group_volumes  the list of the volumes
progress           waits for changes of a group         switchover     the hand-over of the primary
maintenance        isolation, resync, verification and promotion by a person
volume_operations  changes of the volumes in two phases
departures         the way of a volume out of the group
access_states      the states that hosts see            positions      how far the stream of a member reaches
member_driver      makes the decisions of `membership` durable
courier            carries its messages                 membership_messages  the messages as bytes
witness_desk       the groups of which an array is the witness
stream/            the way of changes to the other member
anchors/           moments that both members have
"""
