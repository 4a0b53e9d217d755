-- The chance that a flight arrives more than 15 minutes late, and what is done about it.

CREATE MODEL delay FROM 'models/delay.onnx'
  INPUTS (distance, weekday, local_departure, local_arrival, scheduled_minutes,
          temp, humid, wind_speed, precip, pressure, visib, weather_age_minutes,
          origin_departures_1h, carrier_departures_3h, aircraft_departures_1d,
          aircraft_max_delay_1d, aircraft_avg_delay_1d, aircraft_landings_1d,
          carrier_avg_delay_1h, carrier_avg_delay_6h, carrier_avg_delay_7d, carrier_late_6h,
          route_avg_delay_1h, route_avg_delay_6h, route_avg_delay_7d, route_late_7d,
          origin_avg_delay_1h, origin_max_delay_1h, origin_late_1h, origin_avg_delay_6h, origin_avg_delay_7d)
  OUTPUT probability OF 1;

CREATE VIEW scored AS SELECT *, predict(delay) AS score FROM features;

CREATE DECISION delay_watch ON scored SUBJECT tailnum TO actions AS
  RULE late_aircraft      WHEN aircraft_max_delay_1d > 180 THEN 'find_spare_aircraft' ONCE PER INTERVAL '6' HOUR
  RULE likely_late        WHEN score > 0.7                 THEN 'warn_passengers'
  RULE congestion  SHADOW WHEN origin_late_1h >= 20        THEN 'slow_departures';
