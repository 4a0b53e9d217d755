TEST 'a delay counts from the landing on, and only for an hour';
GIVEN departures (flight_id, carrier, tailnum, origin, dest, scheduled_at) VALUES
  ('UA1', 'UA', 'N1', 'EWR', 'ORD', TIMESTAMP '2013-07-01 10:00:00'),
  ('UA2', 'UA', 'N2', 'EWR', 'BOS', TIMESTAMP '2013-07-01 10:15:00'),
  ('UA3', 'UA', 'N3', 'EWR', 'ORD', TIMESTAMP '2013-07-01 11:16:00');
GIVEN arrivals (flight_id, carrier, tailnum, origin, dest, landed_at, arr_delay) VALUES
  ('UA0', 'UA', 'N9', 'EWR', 'ORD', TIMESTAMP '2013-07-01 10:15:00', 40);
EXPECT features (flight_id, origin_late_1h, origin_avg_delay_1h, route_avg_delay_6h, carrier_late_6h) VALUES
  ('UA1', 0, NULL, NULL, 0),
  ('UA2', 1, 40.0, NULL, 1),
  ('UA3', 0, NULL, 40.0, 1);

TEST 'a flight sees the last weather of its own airport';
GIVEN departures (flight_id, origin, scheduled_at) VALUES
  ('A', 'EWR', TIMESTAMP '2013-07-01 09:59:00'),
  ('B', 'EWR', TIMESTAMP '2013-07-01 10:00:00'),
  ('C', 'JFK', TIMESTAMP '2013-07-01 10:00:00');
GIVEN weather (origin, observed_at, temp) VALUES
  ('EWR', TIMESTAMP '2013-07-01 09:00:00', 70.0),
  ('EWR', TIMESTAMP '2013-07-01 10:00:00', 75.0);
EXPECT features (flight_id, temp, weather_age_minutes) VALUES
  ('A', 70.0, 59.0),
  ('B', 75.0, 0.0),
  ('C', NULL, NULL);

TEST 'a very late aircraft is replaced once in six hours';
GIVEN departures (flight_id, tailnum, origin, scheduled_at) VALUES
  ('A', 'N1', 'LGA', TIMESTAMP '2013-07-01 09:00:00'),
  ('B', 'N1', 'LGA', TIMESTAMP '2013-07-01 14:00:00'),
  ('C', 'N2', 'LGA', TIMESTAMP '2013-07-01 14:00:00');
GIVEN arrivals (flight_id, tailnum, origin, landed_at, arr_delay) VALUES
  ('Z', 'N1', 'JFK', TIMESTAMP '2013-07-01 08:00:00', 200),
  ('Y', 'N2', 'JFK', TIMESTAMP '2013-07-01 08:00:00', 20);
GIVEN MODEL delay SCORES 0.1;
EXPECT delay_watch (flight_id, action) VALUES ('A', 'find_spare_aircraft');
EXPECT NO ROWS delay_watch WHERE flight_id <> 'A' AND action = 'find_spare_aircraft';

TEST 'the passengers of a flight that will be late are warned';
GIVEN departures (flight_id, tailnum, origin, scheduled_at) VALUES
  ('A', 'N1', 'LGA', TIMESTAMP '2013-07-01 09:00:00');
GIVEN MODEL delay SCORES 0.8;
EXPECT delay_watch (flight_id, action) VALUES ('A', 'warn_passengers');
