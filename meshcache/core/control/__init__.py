"""What operators change on a live mesh and what follows: live policies, VIPs, withdraws, recall, `explain`.

Imports `membership` and below. It takes sessions away and says why; it never brings one in.
"""
