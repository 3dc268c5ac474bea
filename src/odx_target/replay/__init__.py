"""Replays of recorded sessions, and comparisons of their answers with the recorded answers.

`array_replay` runs the inputs of a recording against an array in this process, and compares its bytes: `replay_edge` feeds the
array, `answer_streams` compares, and `pdu_difference` names the first field that differs. `remote_replay` sends the PDUs of the
hosts to another target, and compares by the table in `field_table`. `page` shows a replay.
"""
