// Names of the browser that TypeScript's own libraries lack.

// The scope of an audio worklet.
declare const currentFrame: number;
declare const currentTime: number;
declare const sampleRate: number;
declare function registerProcessor(name: string, processor: typeof AudioWorkletProcessor): void;
declare class AudioWorkletProcessor {
  constructor(options?: AudioWorkletNodeOptions);
  readonly port: MessagePort;
  process(inputs: Float32Array[][], outputs: Float32Array[][], parameters: Record<string, Float32Array>): boolean;
}

// The page's own classes dispatch CustomEvents.
interface EventTarget {
  addEventListener(type: string, listener: (event: CustomEvent) => void, options?: AddEventListenerOptions): void;
}
