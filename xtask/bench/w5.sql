SELECT m.event_id, m.author_id, m.ts,
       p.ts AS profile_ts, p.followers, p.plan, p.verified
FROM messages m
ASOF LEFT JOIN profiles p ON p.author_id = m.author_id AND p.ts <= m.ts
