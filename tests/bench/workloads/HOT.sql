update vehicle_registration set pending_penalty = pending_penalty + 1 where vin = 'V1';
